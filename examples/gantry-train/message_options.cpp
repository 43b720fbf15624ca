// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <vector>

#include "gantry/comm/filtered.hpp"
#include "gantry/dist/error_feedback.hpp"
#include "gantry/dist/filter_chain.hpp"
#include "gantry/dist/quantise.hpp"
#include "gantry/dist/sanitise.hpp"
#include "gantry/dist/top_k.hpp"

#include "checks.hpp"
#include "message_options.hpp"
#include "strategy_options.hpp"

using namespace gantry;

namespace {

/// Messages whose values a form with fewer bits may stand for; generated batches are exact.
message_selection selected(const message_options& o) {
  return {.kinds = {message::feedback, message::model},
          .to_lead = true,
          .from_lead = o.filter_on == "all",
          .between_workers = false};
}

template <Filter F>
comm::any_world encoded(comm::any_world world, const message_options& o, const F& filter) {
  if (o.error_feedback)
    return comm::filtered(std::move(world), selected(o), dist::error_feedback<F>(filter));
  return comm::filtered(std::move(world), selected(o), filter);
}

}  // namespace

void add_message_flags(CLI::App& app, message_options& o) {
  app.option_defaults()->group("Messages");
  app.add_option("--filter", o.filter, "form of feedbacks and networks on the wire")
      ->check(one_of({"none", "int8", "bf16", "top-k"}));
  app.add_option("--filter-on", o.filter_on, "to the server only, or both ways")
      ->check(one_of({"uploads", "all"}));
  app.add_option("--keep", o.keep, "share of the values that --filter top-k sends")
      ->check(from_to(1e-6, 1.0));
  app.add_flag("--error-feedback", o.error_feedback,
               "what a filter leaves out is added to the next message");
  app.add_option("--noise", o.noise,
                 "sigma of the noise on each clipped sample of a feedback (GS-WGAN)")
      ->check(from_to(0.0, 1e6));
  app.add_option("--noise-clip", o.noise_clip, "bound of a sample's feedback, times the batch")
      ->check(positive());
  app.add_option("--delta", o.delta, "probability at which the epsilon of the noise is stated")
      ->check(from_to(1e-30, 0.5));
  app.add_option("--noise-seed", o.noise_seed,
                 "secret of the noise; who knows it can subtract the noise")
      ->check(from_to(std::uint64_t{0}, std::uint64_t{1} << 62));
}

void resolve_messages(const CLI::App& app, const message_options& o,
                      const strategy_options& strategy) {
  const auto needs = [&](const char* flag, bool fits, const std::string& needed) {
    if (app.count(flag) > 0 && !fits)
      throw usage_error(std::string(flag) + " was expected with " + needed +
                        " and came without; leave it out");
  };
  const bool feedbacks = strategy.is<dist::md_gan>();
  needs("--filter-on", o.filter != "none" && !feedbacks,
        "a --filter and a strategy whose server sends networks");
  needs("--error-feedback", o.filter != "none", "a --filter");
  needs("--keep", o.filter == "top-k", "--filter top-k");
  needs("--noise-clip", o.noise.has_value(), "--noise");
  needs("--delta", o.noise.has_value(), "--noise");
  needs("--noise-seed", o.noise.has_value(), "--noise");
  if (o.noise && app.count("--noise-seed") == 0)
    throw usage_error(
        "--noise was expected with a --noise-seed, the secret of this run and came without; give "
        "a number that nobody else knows and no other run has");
  if (o.noise && !feedbacks)
    throw usage_error(
        "--noise was expected with --strategy md_gan, whose workers send feedbacks, and came "
        "with " +
        strategy.name + "; leave it out");
  if (o.filter != "none" && (!strategy.has_server() || strategy.is<dist::label_parallel>()))
    throw usage_error(
        "--filter was expected with a strategy that exchanges feedbacks or networks and came "
        "with " +
        strategy.name + "; leave it out");
  // A network is sent whole: what is left out of it is 0, not added later.
  if ((o.filter == "top-k" || o.error_feedback) && !feedbacks)
    throw usage_error(
        "--filter top-k and --error-feedback were expected with --strategy md_gan, whose "
        "feedbacks add up, and came with " +
        strategy.name + "; use int8 or bf16 alone");
  if (o.filter == "int8" && strategy.averaging.moments)
    throw usage_error(
        "--average-moments was expected with a --filter that keeps small numbers and came with "
        "int8; use bf16");
}

comm::any_world with_filters(comm::any_world world, const message_options& o,
                             std::size_t sample_size) {
  // The outer filter is nearer to the strategy: noise first, then fewer bits.
  if (o.filter == "int8") world = encoded(std::move(world), o, dist::int8_blocks{});
  if (o.filter == "bf16") world = encoded(std::move(world), o, dist::bf16{});
  if (o.filter == "top-k") world = encoded(std::move(world), o, dist::top_k{o.keep});
  if (!o.noise) return world;
  std::vector<dist::filter_chain<dist::clip_and_noise, dist::exact>> filters;
  for (rank_t r = 0; r < world.size(); ++r)
    filters.push_back({dist::clip_and_noise({.sample_size = sample_size,
                                             .clip = o.noise_clip,
                                             .sigma = *o.noise,
                                             .seed = o.noise_seed + static_cast<std::uint64_t>(r)}),
                       dist::exact{}});
  return comm::filtered_world(std::move(world), {.kinds = {message::feedback}, .from_lead = false},
                              std::move(filters));
}

std::optional<dist::privacy_spent> privacy_of(const message_options& o, std::uint32_t iterations,
                                              int batch) {
  if (!o.noise) return std::nullopt;
  dist::renyi_accountant accountant;
  accountant.compose(1, *o.noise, std::int64_t{iterations} * batch);
  return accountant.spent(o.delta);
}

void add_settings(io::json::object& all, const message_options& o) {
  if (o.filter != "none") {
    all.set("filter", o.filter);
    all.set("filter_on", o.filter_on);
    if (o.filter == "top-k") all.set("keep", o.keep);
    all.set("error_feedback", o.error_feedback);
  }
  if (o.noise) {
    all.set("noise", *o.noise);
    all.set("noise_clip", o.noise_clip);
  }
}
