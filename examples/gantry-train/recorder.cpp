// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <numeric>
#include <optional>

#include "gantry/data/label_index.hpp"
#include "gantry/io/json.hpp"
#include "gantry/io/png.hpp"

#include "cuda_machine.hpp"
#include "recorder.hpp"
#include "recorder_machine.hpp"
#include "recorder_phases.hpp"
#include "run_folder.hpp"

namespace {

using namespace gantry;
constexpr int grid_side = 8, grid_count = grid_side * grid_side;
constexpr std::size_t picture_budget = 3'000'000;  // bytes; four letters for three in the report

void add(round_report& sum, const round_report& r) {
  sum.discriminator_loss += r.discriminator_loss;
  sum.generator_loss += r.generator_loss;
  sum.workers = r.workers;
  sum.images += r.images;
  sum.bytes_down += r.bytes_down;
  sum.bytes_up += r.bytes_up;
  sum.bytes_swap += r.bytes_swap;
  sum.lead += r.lead;
  sum.worker += r.worker;
  sum.signals += r.signals;
  sum.generator_penalty += r.generator_penalty;
  sum.hidden += r.hidden;
  sum.exposed += r.exposed;
}

/// What compute hid of the way of the networks, where they travel layer by layer.
void set_overlap(io::json::object& line, const round_report& r) {
  if (r.hidden + r.exposed <= 0) return;
  line.set("seconds_hidden", r.hidden);
  line.set("seconds_exposed", r.exposed);
  line.set("hidden_fraction", r.hidden_fraction());
}

/// Samples of each label by worker; of a set without labels, all as one.
std::vector<std::vector<std::uint64_t>> histograms(std::span<const data::shard> shards,
                                                   int classes) {
  if (classes > 0) return data::label_histograms(shards, static_cast<std::size_t>(classes));
  std::vector<std::vector<std::uint64_t>> sizes;
  for (const data::shard& s : shards) sizes.push_back({s.size()});
  return sizes;
}

/// Where sums of reports begin.
constexpr round_report nothing{.generator_penalty = 0};

std::string classes_text(const train::evaluation& result) {
  if (!std::isfinite(result.classifier_score)) return {};
  return ", classifier score " + fixed(result.classifier_score, 2);
}

std::string more_text(const train::evaluation& result) {
  std::string text;
  for (const auto& [name, value] : result.more) text += ", " + name + " " + fixed(value, 4);
  return text;
}

}  // namespace

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

recorder::recorder(const program_options& options, const run_plan& plan, data_sets data,
                   std::span<const data::shard> shards, std::unique_ptr<feature_extractor> features)
    : options_(options),
      plan_(plan),
      data_(std::move(data)),
      features_(std::move(features)),
      labels_(histograms(shards, data_.classes)),
      interval_(nothing) {
  for (const auto& worker : labels_) epoch_ = std::accumulate(worker.begin(), worker.end(), epoch_);
  io::progress_options progress;
  progress.mode = io::choose_progress_mode(options.quiet);
  if (!options.task.empty() && progress.mode != io::progress_mode::quiet) {
    progress.mode = io::progress_mode::lines;  // of several tasks, by turns
    progress.write = [name = options.task](std::string_view text) {
      std::fprintf(stderr, "%s: %.*s", name.c_str(), static_cast<int>(text.size()), text.data());
    };
  }
  progress_ = std::make_unique<io::progress>(options.iterations, progress);
  latents_.resize(static_cast<std::size_t>(grid_count) * plan.latent.size());
  fill_normal(std::span<float>(latents_), {.seed = options.seed, .use = purpose::fixed_latent});
}

double recorder::seconds() const {
  const std::chrono::duration<double> here = std::chrono::steady_clock::now() - start_;
  return earlier_seconds_ + here.count();
}

void recorder::print(const std::string& line) { progress_->note(line); }

void recorder::on_start(const train::round_view& view) {
  if (view.iteration > options_.iterations)
    throw usage_error("--iterations was expected to be at least the " +
                      std::to_string(view.iteration) + " of the checkpoint and is " +
                      std::to_string(options_.iterations) + "; give more --iterations");
  const bool goes_on = goes_on_in(options_.outdir, options_.resume_from);
  const std::string removed = clear_run_folder(
      options_.outdir, goes_on ? std::optional<std::uint32_t>(view.iteration) : std::nullopt);
  if (!removed.empty()) print(removed);
  if (goes_on) read_earlier(view.iteration);
  const bool is_new = !goes_on && view.iteration == 0;
  stats_log_ = std::make_unique<io::line_log>(options_.outdir / "stats.jsonl");
  if (!goes_on) open_events(view.iteration);
  if (!goes_on) {
    write_reals();
    io::write_file_atomic(options_.outdir / "config.toml", options_.configuration_file);
  }
  if (is_new) write_grid(view, "fakes_init.png");
  if (options_.metrics == "fid") {
    fid_log_ = std::make_unique<io::line_log>(options_.outdir / "metric-fid.jsonl");
    open_scores();
    if (is_new) score(view);
  }
  interval_start_ = seconds();
  progress_->update(view.iteration);
}

void recorder::open_scores() {
  const auto note = [this](const std::string& text) { print(text); };
  const bool is_built_in = !features_;
  scorer_ = make_scorer(options_, plan_, data_, note, std::move(features_));
  const bool has_accuracy = std::isfinite(scorer_->accuracy());
  const std::string name =
      scorer_->network_name() +
      (has_accuracy ? ", accuracy " + fixed(100 * scorer_->accuracy(), 2) + " %" : "");
  print("scores: in features of " + name + ", SHA-256 " + scorer_->network_hash().substr(0, 12));
  score_features_ = name + ", SHA-256 " + scorer_->network_hash().substr(0, 16);
  if (is_built_in && !trains_classifier(options_, data_))
    print("scores: " + scorer_->network_name() +
          " is a network with random weights, whose figures follow a run and tell its checkpoints "
          "apart but mean nothing beside others; put the images of each class into a folder of "
          "their own, or give --features a file of weights (docs/14_feature_networks.md)");
}

/// Takes up curves, sums and pictures of the run that this one continues.
void recorder::read_earlier(std::uint32_t iteration) {
  total_rounds_ = iteration;
  for_each_line(options_.outdir / "stats.jsonl", [&](const io::json::value& line) {
    const double at = line.at("iteration").as_double();
    const double rounds = at - (d_loss_.points.empty() ? 0 : d_loss_.points.back().x);
    for (const auto& [curve, key] : {std::pair{&down_, "bytes_down"}, std::pair{&up_, "bytes_up"},
                                     std::pair{&swap_, "bytes_swap"}})
      curve->points.push_back({at, line.at(key).as_double() / rounds});
    d_loss_.points.push_back({at, line.at("loss_d").as_double()});
    g_loss_.points.push_back({at, line.at("loss_g").as_double()});
    rate_.points.push_back({at, line.at("images_per_second").as_double()});
    total_.images = line.at("images").as_int();
    total_.bytes_down += static_cast<std::uint64_t>(line.at("bytes_down").as_int());
    total_.bytes_up += static_cast<std::uint64_t>(line.at("bytes_up").as_int());
    total_.bytes_swap += static_cast<std::uint64_t>(line.at("bytes_swap").as_int());
    total_.lead += phases_of(line.at("seconds_lead"));
    total_.worker += phases_of(line.at("seconds_worker"));
    if (const io::json::value* hidden = line.as_object().find("seconds_hidden")) {
      total_.hidden += hidden->as_double();
      total_.exposed += line.at("seconds_exposed").as_double();
    }
    earlier_seconds_ = line.at("seconds").as_double();
  });
  for_each_line(options_.outdir / "metric-fid.jsonl", [&](const io::json::value& line) {
    last_fid_ = line.at("fid").as_double();
    if (first_fid_ < 0) first_fid_ = last_fid_;
    fid_.points.push_back({line.at("iteration").as_double(), last_fid_});
    for (const char* name : {"kid", "precision", "recall", "density", "coverage"})
      if (const io::json::value* found = line.as_object().find(name))
        more_scores_[name].points.push_back({line.at("iteration").as_double(), found->as_double()});
  });
  pictures_ = read_pictures(options_.outdir);
  io::thin_pictures(pictures_, picture_budget);
  detailed_until_ = iteration;
}

void recorder::add_picture(const char* caption, std::int64_t iteration,
                           std::vector<std::byte> png) {
  pictures_.push_back({caption, iteration, std::move(png)});
  io::thin_pictures(pictures_, picture_budget);
}

void recorder::write_reals() {
  const data::image_set& train = *data_.train;
  const auto size = static_cast<std::size_t>(plan_.image.size());
  const auto order =
      random_permutation(static_cast<std::uint32_t>(train.size()),
                         {.seed = options_.seed, .worker = 1, .use = purpose::fixed_latent});
  std::vector<float> images(grid_count * size);
  for (std::size_t i = 0; i < grid_count; ++i) {
    const auto pixels = train.image(order[i % order.size()]);
    for (std::size_t p = 0; p < size; ++p) images[i * size + p] = data::pixel_to_float[pixels[p]];
  }
  const auto grid = io::image_grid(images, {.count = grid_count,
                                            .height = plan_.image.h,
                                            .width = plan_.image.w,
                                            .channels = plan_.image.c,
                                            .columns = grid_side});
  const auto png = io::encode_png(grid);
  io::write_file_atomic(options_.outdir / "reals.png", png);
  write_image_event(0, "Samples/real", png);
  add_picture("real images", -1, png);
}

void recorder::write_grid(const train::round_view& view, const std::string& name) {
  std::vector<float> images(static_cast<std::size_t>(grid_count) * plan_.image.size());
  view.sample(latents_, images);
  const auto grid = io::image_grid(images, {.count = grid_count,
                                            .height = plan_.image.h,
                                            .width = plan_.image.w,
                                            .channels = plan_.image.c,
                                            .columns = grid_side});
  const auto png = io::encode_png(grid);
  io::write_file_atomic(options_.outdir / name, png);
  write_image_event(view.iteration, "Samples/generated", png);
  add_picture("generated images", view.iteration, png);
}

void recorder::score(const train::round_view& view) {
  const auto result = scorer_->evaluate(view.sample, options_.metric_samples, options_.seed);
  io::json::object line{{"iteration", view.iteration}, {"seconds", seconds()}};
  const io::json::object figures = train::to_json(result);
  for (const auto& [key, value] : figures.members())
    line.set(key == "seconds" ? "seconds_scoring" : key, value);
  fid_log_->append(io::json::dump(line));
  write_score_events(view.iteration, figures);
  last_fid_ = result.fid;
  if (first_fid_ < 0) first_fid_ = last_fid_;
  fid_.points.push_back({static_cast<double>(view.iteration), result.fid});
  for (const auto& [name, value] : result.more)
    more_scores_[name].points.push_back({static_cast<double>(view.iteration), value});
  print("iteration " + std::to_string(view.iteration) + ": FID " + fixed(result.fid, 2) +
        classes_text(result) + more_text(result) + " (" + std::to_string(result.generated) +
        " generated, " + std::to_string(result.reference) + " real)");
}

std::optional<double> recorder::score_of(std::uint32_t iteration) const {
  const auto at = static_cast<double>(iteration);
  if (fid_.points.empty() || fid_.points.back().x != at) return std::nullopt;
  return fid_.points.back().y;
}

/// What discriminators saw in the iterations of a line, and memory of devices: what there is.
void recorder::add_signals(io::json::object& line) const {
  const auto add = [&line, this](std::string_view key, double sum) {
    if (std::isfinite(sum)) line.set(key, sum / interval_rounds_);
  };
  for (std::size_t i = 0; i < signal_names.size(); ++i)
    add(signal_names[i], interval_.signals.values[i]);
  add("reg_g", interval_.generator_penalty);
  if (options_.device != "cuda") return;
  const device_peaks peaks = take_device_peaks();
  line.set("peak_gpu_mem_gb", static_cast<double>(peaks.used) / (1 << 30));
  line.set("peak_gpu_mem_reserved_gb", static_cast<double>(peaks.held) / (1 << 30));
}

void recorder::log(std::uint32_t iteration) {
  now_ = seconds();
  const double elapsed = std::max(now_ - interval_start_, 1e-9);
  const double n = interval_rounds_;
  const double rate = static_cast<double>(interval_.images) / elapsed;
  const double d = interval_.discriminator_loss / n, g = interval_.generator_loss / n;
  io::json::object line{{"iteration", iteration},
                        {"seconds", now_},
                        {"seconds_maintenance", maintenance_},
                        {"images", total_.images},
                        {"kimg", static_cast<double>(total_.images) / 1000},
                        {"images_per_second", rate},
                        {"loss_d", d},
                        {"loss_g", g},
                        {"workers", interval_.workers},
                        {"cpu_mem_gb", resident_gib()},
                        {"bytes_down", interval_.bytes_down},
                        {"bytes_up", interval_.bytes_up},
                        {"bytes_swap", interval_.bytes_swap},
                        {"seconds_lead", phases_json(interval_.lead)},
                        {"seconds_worker", phases_json(interval_.worker)}};
  add_signals(line);
  set_overlap(line, interval_);
  stats_log_->append(io::json::dump(line));
  const auto at = static_cast<double>(iteration);
  d_loss_.points.push_back({at, d});
  g_loss_.points.push_back({at, g});
  rate_.points.push_back({at, rate});
  down_.points.push_back({at, static_cast<double>(interval_.bytes_down) / n});
  up_.points.push_back({at, static_cast<double>(interval_.bytes_up) / n});
  swap_.points.push_back({at, static_cast<double>(interval_.bytes_swap) / n});
  write_log_events(line);
  progress_->update(iteration, "D " + fixed(d, 3) + "  G " + fixed(g, 3) + "  " + fixed(rate, 0) +
                                   " images/s" +
                                   (last_fid_ < 0 ? "" : "  FID " + fixed(last_fid_, 1)));
  interval_ = nothing;
  interval_rounds_ = 0;
  interval_start_ = now_;
  maintenance_ = 0;
}

bool recorder::grid_is_due(std::uint32_t iteration, std::int64_t seen, std::int64_t images) const {
  if (iteration == options_.iterations) return true;
  if (!options_.grid_by_epoch) return iteration % options_.grid_every == 0;
  // Counted over all workers, so that it holds for shards of all sizes and workers that sit out.
  return seen / epoch_ > (seen - images) / epoch_;
}

bool recorder::saves(std::uint32_t iteration) const {
  return options_.save_every > 0 && iteration % options_.save_every == 0;
}

/// A line at each checkpoint too, so that no sum is lost between the last line and a resume.
bool recorder::line_is_due(std::uint32_t iteration) const {
  return iteration % options_.log_every == 0 || saves(iteration) ||
         iteration == options_.iterations;
}

bool recorder::looks(std::uint32_t iteration, std::span<const round_report> waiting) const {
  std::int64_t seen = total_.images;
  for (const round_report& r : waiting) seen += r.images;
  const bool grid = grid_is_due(iteration, seen, waiting.back().images);
  return line_is_due(iteration) || grid || score_is_due(iteration, grid);
}

bool recorder::score_is_due(std::uint32_t iteration, bool with_grid) const {
  if (!scorer_) return false;
  if (iteration == options_.iterations || (saves(iteration) && options_.keep_best)) return true;
  return options_.metric_every > 0 ? iteration % options_.metric_every == 0 : with_grid;
}

void recorder::on_round(const train::round_view& view) {
  if (!events_) open_events(total_rounds_);  // only now, so that a refused resume leaves no file
  add(interval_, view.report);
  add(total_, view.report);
  ++interval_rounds_;
  ++total_rounds_;
  if (line_is_due(view.iteration)) log(view.iteration);
  const double before = seconds();
  const bool grid = grid_is_due(view.iteration, total_.images, view.report.images);
  const bool scores = score_is_due(view.iteration, grid);
  if (grid) {
    char name[32];
    std::snprintf(name, sizeof name, "fakes%06u.png", view.iteration);
    write_grid(view, name);
    if (scores) score(view);
    write_detail_events(view);
    write_report(nullptr);
  } else if (scores) {
    score(view);
  }
  const double spent = seconds() - before;
  maintenance_ += spent;
  interval_start_ += spent;  // pictures and scores are not training time
}

void recorder::finish(const train::run_result& result) {
  io::write_file_atomic(options_.outdir / "config.toml", options_.configuration_file);
  if (interval_rounds_ > 0) log(result.iterations);
  progress_->finish();
  write_report(&result);
  if (options_.quiet) return;
  if (last_fid_ >= 0 && first_fid_ > 0)
    std::printf("FID %.2f at the start, %.2f now: %.1f times lower\n", first_fid_, last_fid_,
                first_fid_ / last_fid_);
  if (!result.checkpoint_hash.empty())
    std::printf("checkpoint %s, SHA-256 %s\n",
                (options_.outdir / train::checkpoint_name(result.iterations)).c_str(),
                result.checkpoint_hash.c_str());
  if (result.best)
    std::printf("best checkpoint %s, FID %.2f\n",
                (options_.outdir / train::checkpoint_name(result.best->iteration)).c_str(),
                result.best->score);
  if (result.live_workers < options_.strategy.workers && options_.strategy.has_server())
    std::printf("workers alive at the end: %d of %d\n", result.live_workers,
                options_.strategy.workers);
  if (total_.hidden + total_.exposed > 0)
    std::printf("networks on their way to a worker: %.3f s, %.1f %% of it hidden behind compute\n",
                total_.hidden + total_.exposed, 100 * total_.hidden_fraction());
  std::printf("report %s\n", std::filesystem::absolute(options_.outdir / "report.html").c_str());
}
