// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/data/mnist.hpp"
#include "gantry/io/json.hpp"
#include "gantry/io/png.hpp"
#include "gantry/train/classifier.hpp"
#include "gantry/train/evaluator.hpp"

#include "recorder.hpp"

namespace {

using namespace gantry;
constexpr int grid_side = 8, grid_count = grid_side * grid_side;

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string size_text(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 1000 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  return fixed(bytes, unit == 0 ? 0 : 1) + " " + units[unit];
}

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
}

io::json::object phases(const phase_times& times) {
  io::json::object o;
  for (std::size_t p = 0; p < phase_names.size(); ++p)
    if (times.seconds[p] > 0) o.set(phase_names[p], times.seconds[p]);
  return o;
}

/// Calls use(value) for each line of a JSON lines file, if there is one.
template <class Use>
void for_each_line(const std::filesystem::path& path, Use use) {
  if (!std::filesystem::exists(path)) return;
  const std::string text = io::read_text(path);
  std::string_view rest = text;
  for (std::size_t end; (end = rest.find('\n')) != std::string_view::npos;
       rest.remove_prefix(end + 1))
    use(io::json::parse(rest.substr(0, end)));
}

/// Where a trained classifier is kept: beside the data, in the user's cache, or in the run's
/// folder.
std::vector<std::filesystem::path> cache_folders(const program_options& o) {
  std::vector<std::filesystem::path> folders;
  folders.push_back(o.data_dir.empty() ? std::filesystem::path(data::debian_fashion_mnist)
                                       : o.data_dir);
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg && *xdg)
    folders.emplace_back(std::filesystem::path(xdg) / "gantry");
  else if (const char* home = std::getenv("HOME"); home && *home)
    folders.emplace_back(std::filesystem::path(home) / ".cache" / "gantry");
  folders.push_back(o.outdir);
  return folders;
}

}  // namespace

/// The classifier with its own backend, and the statistics of the real images.
struct recorder::scores {
  scores(const program_options& o, const run_plan& plan, const data_sets& data,
         const std::function<void(const std::string&)>& note)
      : backend(o.threads),
        evaluator(train::classifier<backend::cpu>::load_or_train(
                      backend, *data.published_train, *data.published_test, cache_folders(o), note),
                  *data.test, {.latent = plan.latent.size()}) {}

  backend::cpu backend;
  train::evaluator<backend::cpu> evaluator;
};

recorder::recorder(const program_options& options, const run_plan& plan, data_sets data)
    : options_(options), plan_(plan), data_(std::move(data)) {
  io::progress_options progress;
  progress.mode = io::choose_progress_mode(options.quiet);
  progress_ = std::make_unique<io::progress>(options.iterations, progress);
  latents_.resize(static_cast<std::size_t>(grid_count) * plan.latent.size());
  fill_normal(std::span<float>(latents_), {.seed = options.seed, .use = purpose::fixed_latent});
}

recorder::~recorder() = default;

double recorder::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void recorder::print(const std::string& line) { progress_->note(line); }

void recorder::on_start(const train::round_view& view) {
  resume_from(view.iteration);
  stats_log_ = std::make_unique<io::line_log>(options_.outdir / "stats.jsonl");
  if (view.iteration == 0) {
    write_reals();
    write_grid(view, "fakes_init.png");
  }
  if (options_.metrics == "fid") {
    fid_log_ = std::make_unique<io::line_log>(options_.outdir / "metric-fid.jsonl");
    scores_ = std::make_unique<scores>(options_, plan_, data_,
                                       [this](const std::string& text) { print(text); });
    const auto& network = scores_->evaluator.network();
    print("scores: FID and classifier score by " + network.name() + ", accuracy " +
          fixed(100 * network.accuracy(), 2) + " %, SHA-256 " + network.hash().substr(0, 12));
    if (view.iteration == 0) score(view);
  }
  interval_start_ = seconds();
  progress_->update(view.iteration);
}

/// Drops what an earlier run wrote behind the iteration that this one starts from.
void recorder::resume_from(std::uint32_t iteration) {
  for (const char* name : {"stats.jsonl", "metric-fid.jsonl"}) {
    const auto is_kept = [&](std::string_view line) {
      return iteration > 0 && io::json::parse(line).at("iteration").as_int() <= iteration;
    };
    io::line_log::keep_lines(options_.outdir / name, is_kept);
  }
  if (iteration == 0) return;
  for_each_line(options_.outdir / "stats.jsonl", [&](const io::json::value& line) {
    const double at = line.at("iteration").as_double();
    d_loss_.points.push_back({at, line.at("loss_d").as_double()});
    g_loss_.points.push_back({at, line.at("loss_g").as_double()});
    rate_.points.push_back({at, line.at("images_per_second").as_double()});
    total_.images = line.at("images").as_int();
  });
  for_each_line(options_.outdir / "metric-fid.jsonl", [&](const io::json::value& line) {
    last_fid_ = line.at("fid").as_double();
    if (first_fid_ < 0) first_fid_ = last_fid_;
    fid_.points.push_back({line.at("iteration").as_double(), last_fid_});
  });
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
  pictures_.push_back({"real images", 0, png});
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
  pictures_.push_back({"generated images", view.iteration, png});
}

void recorder::score(const train::round_view& view) {
  const auto result =
      scores_->evaluator.evaluate(view.sample, options_.metric_samples, options_.seed);
  io::json::object line{{"iteration", view.iteration}, {"seconds", seconds()}};
  const io::json::object figures = train::to_json(result);
  for (const auto& [key, value] : figures.members()) line.set(key, value);
  fid_log_->append(io::json::dump(line));
  last_fid_ = result.fid;
  if (first_fid_ < 0) first_fid_ = last_fid_;
  fid_.points.push_back({static_cast<double>(view.iteration), result.fid});
  print("iteration " + std::to_string(view.iteration) + ": FID " + fixed(result.fid, 2) +
        ", classifier score " + fixed(result.classifier_score, 2) + " (" +
        std::to_string(result.generated) + " generated, " + std::to_string(result.reference) +
        " real)");
}

void recorder::log(const train::round_view& view) {
  const double now = seconds(), elapsed = std::max(now - interval_start_, 1e-9);
  const double n = interval_rounds_;
  const double rate = static_cast<double>(interval_.images) / elapsed;
  const double d = interval_.discriminator_loss / n, g = interval_.generator_loss / n;
  const io::json::object line{{"iteration", view.iteration},
                              {"seconds", now},
                              {"images", total_.images},
                              {"images_per_second", rate},
                              {"loss_d", d},
                              {"loss_g", g},
                              {"workers", interval_.workers},
                              {"bytes_down", interval_.bytes_down},
                              {"bytes_up", interval_.bytes_up},
                              {"bytes_swap", interval_.bytes_swap},
                              {"seconds_lead", phases(interval_.lead)},
                              {"seconds_worker", phases(interval_.worker)}};
  stats_log_->append(io::json::dump(line));
  const auto at = static_cast<double>(view.iteration);
  d_loss_.points.push_back({at, d});
  g_loss_.points.push_back({at, g});
  rate_.points.push_back({at, rate});
  progress_->update(view.iteration, "D " + fixed(d, 3) + "  G " + fixed(g, 3) + "  " +
                                        fixed(rate, 0) + " images/s" +
                                        (last_fid_ < 0 ? "" : "  FID " + fixed(last_fid_, 1)));
  interval_ = {};
  interval_rounds_ = 0;
  interval_start_ = now;
}

void recorder::on_round(const train::round_view& view) {
  add(interval_, view.report);
  add(total_, view.report);
  ++interval_rounds_;
  ++total_rounds_;
  const bool last = view.iteration == options_.iterations;
  if (view.iteration % options_.log_every == 0 || last) log(view);
  const double before = seconds();
  if (view.iteration % options_.grid_every == 0 || last) {
    char name[32];
    std::snprintf(name, sizeof name, "fakes%06u.png", view.iteration);
    write_grid(view, name);
    if (scores_ && (view.iteration % options_.metric_every == 0 || last)) score(view);
    write_report(nullptr);
  } else if (scores_ && view.iteration % options_.metric_every == 0) {
    score(view);
  }
  interval_start_ += seconds() - before;  // pictures and scores are not training time
}

void recorder::write_report(const train::run_result* result) const {
  io::report page;
  const bool distributed = options_.strategy == "md_gan";
  page.title = (distributed ? "MD-GAN (Hardy et al.)" : "Standalone GAN") + std::string(" on ") +
               options_.data;
  page.subtitle =
      options_.model +
      (distributed ? ", 1 server and " + std::to_string(options_.workers) + " workers" : "") +
      (result ? "" : ", still running");
  page.highlights.push_back(
      {"iterations",
       std::to_string(result ? result->iterations
                             : static_cast<std::uint32_t>(
                                   d_loss_.points.empty() ? 0 : d_loss_.points.back().x))});
  page.highlights.push_back({"minutes", fixed(seconds() / 60, 1)});
  if (last_fid_ >= 0) {
    page.highlights.push_back({"FID at the start", fixed(first_fid_, 1)});
    page.highlights.push_back({"FID now", fixed(last_fid_, 1)});
  }
  const io::json::object settings = configuration(options_);
  for (const auto& [key, value] : settings.members())
    page.facts.push_back({key, value.is_string() ? value.as_string() : io::json::dump(value)});
  page.facts.push_back({"generator parameters", std::to_string(plan_.generator_params)});
  page.facts.push_back({"discriminator parameters", std::to_string(plan_.discriminator_params)});
  if (scores_)
    page.facts.push_back(
        {"FID features", scores_->evaluator.network().name() + ", accuracy " +
                             fixed(100 * scores_->evaluator.network().accuracy(), 2) +
                             " %, SHA-256 " + scores_->evaluator.network().hash().substr(0, 16) +
                             ", " + std::to_string(options_.metric_samples) +
                             " generated against " + std::to_string(data_.test->size()) +
                             " test images"});
  if (result && !result->checkpoint_hash.empty())
    page.facts.push_back({"checkpoint SHA-256", result->checkpoint_hash});
  page.pictures = pictures_;
  if (!fid_.points.empty())
    page.charts.push_back({.title = "Frechet distance of classifier features (lower is better)",
                           .x_label = "iteration",
                           .y_label = "FID",
                           .log_y = true,
                           .lines = {fid_}});
  page.charts.push_back({.title = "Losses",
                         .x_label = "iteration",
                         .y_label = "loss",
                         .log_y = false,
                         .lines = {d_loss_, g_loss_}});
  page.charts.push_back({.title = "Throughput",
                         .x_label = "iteration",
                         .y_label = "real images per second",
                         .log_y = false,
                         .lines = {rate_}});

  const double rounds = std::max(1u, total_rounds_);
  io::table times{"Milliseconds per iteration", {"phase", distributed ? "server" : "node"}, {}};
  if (distributed) times.header.push_back("worker (mean)");
  for (std::size_t p = 0; p < phase_names.size(); ++p) {
    if (total_.lead.seconds[p] == 0 && total_.worker.seconds[p] == 0) continue;
    times.rows.push_back(
        {std::string(phase_names[p]), fixed(1e3 * total_.lead.seconds[p] / rounds, 2)});
    if (distributed) times.rows.back().push_back(fixed(1e3 * total_.worker.seconds[p] / rounds, 2));
  }
  page.tables.push_back(std::move(times));
  if (distributed) {
    io::table bytes{"Bytes on the wire", {"direction", "per iteration", "in all"}, {}};
    const auto row = [&](const char* name, std::uint64_t sum) {
      bytes.rows.push_back({name, size_text(static_cast<double>(sum) / rounds),
                            size_text(static_cast<double>(sum))});
    };
    row("server to workers: generated batches", total_.bytes_down);
    row("workers to server: feedback", total_.bytes_up);
    row("worker to worker: swapped discriminators", total_.bytes_swap);
    page.tables.push_back(std::move(bytes));
  }
  io::write_report(options_.outdir / "report.html", page);
}

void recorder::finish(const train::run_result& result) {
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
  if (result.live_workers < options_.workers && options_.strategy == "md_gan")
    std::printf("workers alive at the end: %d of %d\n", result.live_workers, options_.workers);
  std::printf("report %s\n", std::filesystem::absolute(options_.outdir / "report.html").c_str());
}
