// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "checks.hpp"
#include "layerwise_options.hpp"
#include "strategy_options.hpp"

using namespace gantry;

std::vector<const char*> layerwise_flags() {
  return {"--overlap",       "--fakes-every", "--bucket",     "--own-discriminators",
          "--step-schedule", "--peer-pass",   "--peer-steps", "--peer-weight",
          "--replay-share"};
}

/// @throws usage_error for flags of a peer pass that is not asked for
dist::layerwise_overlap::config layerwise_config(const CLI::App& app, const layerwise_options& o,
                                                 dist::fixed_steps steps, dist::swap_rule order) {
  const auto needs = [&](const char* flag, bool fits, const char* fitting) {
    if (app.count(flag) > 0 && !fits)
      throw usage_error(std::string(flag) + " was expected with --peer-pass " + fitting +
                        " and came with --peer-pass " + o.peer_pass + "; leave it out");
  };
  if (app.count("--bucket") > 0 && o.overlap == "blocking")
    throw usage_error(
        "--bucket was expected with --overlap ready or input-first, whose layers travel apart, and "
        "came with blocking; leave it out");
  needs("--swap", o.peer_pass != "none", "ewc or replay");
  needs("--peer-steps", o.peer_pass != "none", "ewc or replay");
  needs("--peer-weight", o.peer_pass == "ewc", "ewc");
  needs("--replay-share", o.peer_pass == "replay", "replay");
  dist::layerwise_overlap::config c{
      .overlap = o.overlap == "blocking" ? dist::overlap_mode::blocking
                 : o.overlap == "ready"  ? dist::overlap_mode::ready
                                         : dist::overlap_mode::input_first,
      .bucket = static_cast<std::size_t>(o.bucket) * 1024,
      .return_mean = !o.own_discriminators,
      .steps = {steps},
      .peer = o.peer_pass == "ewc"      ? dist::peer_rule::consolidate
              : o.peer_pass == "replay" ? dist::peer_rule::replay
                                        : dist::peer_rule::none,
      .peer_order = order,
      .peer_steps = o.peer_steps,
      .peer_weight = o.peer_weight,
      .replay_share = o.replay_share};
  if (o.step_schedule == "balanced") c.steps = {dist::balanced_steps{.most = steps}};
  return c;
}

/// How networks travel decides no result, so a run may go on with another --overlap.
void add_settings(io::json::object& all, const strategy_options& all_flags,
                  const dist::layerwise_overlap::config& c) {
  const layerwise_options& o = all_flags.layerwise;
  all.set("local_steps", all_flags.local_steps);
  all.set("server_steps", all_flags.averaging.server_steps);
  all.set("fakes_every", o.fakes_every);
  all.set("step_schedule", o.step_schedule);
  all.set("own_discriminators", o.own_discriminators);
  all.set("peer_pass", o.peer_pass);
  if (c.peer == dist::peer_rule::none) return;
  all.set("swap", all_flags.swap);
  all.set("peer_steps", c.peer_steps);
  if (c.peer == dist::peer_rule::consolidate)
    all.set("peer_weight", static_cast<double>(c.peer_weight));
  else
    all.set("replay_share", static_cast<double>(c.replay_share));
}

void add_layerwise_flags(CLI::App& app, layerwise_options& o) {
  app.add_option("--overlap", o.overlap,
                 "how the generator travels: in one message, by layers as they are ready, or "
                 "input layers first")
      ->check(one_of({"blocking", "ready", "input-first"}));
  app.add_option("--fakes-every", o.fakes_every,
                 "discriminator steps for which a worker uses its generated samples")
      ->check(from_to(1, 1000));
  app.add_option("--bucket", o.bucket, "KiB up to which layers share a message; 0: none do")
      ->check(from_to(0, 1 << 20));
  app.add_flag("--own-discriminators", o.own_discriminators,
               "workers go on from their own discriminator, not from the mean");
  app.add_option("--step-schedule", o.step_schedule,
                 "steps of a round: as given, or at most so many, balanced by measured times")
      ->check(one_of({"fixed", "balanced"}));
  app.add_option("--peer-pass", o.peer_pass,
                 "discriminators learn on at another worker, with a penalty (ewc) or old fakes")
      ->check(one_of({"none", "ewc", "replay"}));
  app.add_option("--peer-steps", o.peer_steps, "steps there")->check(from_to(1, 1000));
  app.add_option("--peer-weight", o.peer_weight, "lambda of --peer-pass ewc")
      ->check(from_to(0.0f, 1e9f));
  app.add_option("--replay-share", o.replay_share, "old fakes in a batch of --peer-pass replay")
      ->check(from_to(0.0f, 1.0f));
}
