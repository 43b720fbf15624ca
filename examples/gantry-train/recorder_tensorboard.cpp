// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What a run says to TensorBoard. Names that StyleGAN's training loop has are the same here.
#include <array>
#include <string>
#include <utility>

#include "gantry/io/json.hpp"

#include "recorder.hpp"
#include "recorder_phases.hpp"

namespace {

using namespace gantry;

/// A table of Markdown; what would end a cell or be markup is escaped.
std::string markdown_table(const io::json::object& settings) {
  const auto cell = [](const std::string& text) {
    std::string out;
    for (const char c : text) {
      if (std::string_view("|\\`*_<>[]").find(c) != std::string_view::npos) out += '\\';
      out += c == '\n' ? ' ' : c;
    }
    return out;
  };
  std::string out = "| setting | value |\n| --- | --- |\n";
  for (const auto& [key, value] : settings.members())
    out += "| " + cell(key) + " | " +
           cell(value.is_string() ? value.as_string() : io::json::dump(value)) + " |\n";
  return out;
}

/// Numbers that not every run has, and their tags.
constexpr std::array<std::pair<const char*, const char*>, 9> optional_tags{
    {{"scores_real", "Loss/scores/real"},
     {"scores_fake", "Loss/scores/fake"},
     {"signs_real", "Loss/signs/real"},
     {"signs_fake", "Loss/signs/fake"},
     {"reg_d", "Loss/D/reg"},
     {"reg_g", "Loss/G/reg"},
     {"augment", "Progress/augment"},
     {"peak_gpu_mem_gb", "Resources/peak_gpu_mem_gb"},
     {"peak_gpu_mem_reserved_gb", "Resources/peak_gpu_mem_reserved_gb"}}};

}  // namespace

/// The x axis: thousands of real images, or iterations.
std::int64_t recorder::event_step(std::uint32_t iteration) const {
  return options_.tensorboard == "iteration" ? std::int64_t{iteration} : total_.images / 1000;
}

void recorder::open_events(std::uint32_t iteration) {
  if (options_.tensorboard == "off") return;
  const std::int64_t step = event_step(iteration);
  events_ = std::make_unique<io::event_file>(options_.outdir, iteration == 0 ? 0 : step + 1);
  io::event_summary about;
  about.text("Config/settings", markdown_table(configuration(options_)));
  about.text("Config/data", data_.train_facts + "\n\n" + data_.test_facts);
  events_->write(step, about);
}

void recorder::write_image_event(std::uint32_t iteration, const char* tag,
                                 std::span<const std::byte> png) {
  if (!events_) return;
  io::event_summary s;
  s.image(tag, png);
  events_->write(event_step(iteration), s);
}

/// The line of stats.jsonl, under TensorBoard's names.
void recorder::write_log_events(const io::json::object& line) {
  if (!events_) return;
  const auto number = [&](const char* key) { return line.find(key)->as_double(); };
  const double seconds = now_ - interval_start_;
  const double thousands = static_cast<double>(interval_.images) / 1000;
  io::event_summary s;
  s.scalar("Loss/G/loss", number("loss_g"));
  s.scalar("Loss/D/loss", number("loss_d"));
  for (const auto& [key, tag] : optional_tags)
    if (line.find(key)) s.scalar(tag, number(key));
  s.scalar("Progress/tick", static_cast<double>(d_loss_.points.size()));
  s.scalar("Progress/kimg", number("kimg"));
  s.scalar("Progress/iteration", number("iteration"));
  s.scalar("Timing/sec_per_tick", seconds);
  if (thousands > 0) s.scalar("Timing/sec_per_kimg", seconds / thousands);
  s.scalar("Timing/total_sec", number("seconds"));
  s.scalar("Timing/maintenance_sec", number("seconds_maintenance"));
  s.scalar("Timing/images_per_sec", number("images_per_second"));
  s.scalar("Resources/cpu_mem_gb", number("cpu_mem_gb"));
  s.scalar("Workers/alive", number("workers"));
  if (is_distributed()) {
    s.scalar("Comm/bytes_down", number("bytes_down"));
    s.scalar("Comm/bytes_up", number("bytes_up"));
    s.scalar("Comm/bytes_swap", number("bytes_swap"));
    s.scalar("Comm/wait_sec", interval_.lead[phase::wait]);
    s.scalar("Comm/worker_wait_sec", interval_.worker[phase::wait]);
  }
  events_->write(event_step(total_rounds_), s);
}

/// Figures of a score, whatever their names are; counts and texts are left out.
void recorder::write_score_events(std::uint32_t iteration, const io::json::object& figures) {
  if (!events_) return;
  io::event_summary s;
  for (const auto& [key, value] : figures.members())
    if (value.is_double() && key != "seconds") s.scalar("Metrics/" + key, value.as_double());
  events_->write(event_step(iteration), s);
}

/// Weights of the networks that this process has, and what each worker's time went to since the
/// last time.
void recorder::write_detail_events(const train::round_view& view) {
  if (!events_) return;
  io::event_summary s;
  view.weights([&](const std::string& name, std::span<const float> values) {
    s.histogram("Weights/" + name, values);
  });
  if (is_distributed())
    for (const rank_phases& r : read_phases(options_.outdir)) {
      std::array<double, time_uses.size()> sums{};
      std::int64_t rounds = 0;
      for (const phase_block& b : r.blocks) {
        if (b.iteration <= detailed_until_ || r.rank == 0) continue;
        rounds += b.rounds;
        const auto uses = b.uses();
        for (std::size_t u = 0; u < uses.size(); ++u) sums[u] += uses[u];
      }
      for (std::size_t u = 0; rounds > 0 && u < sums.size(); ++u)
        s.scalar("Workers/" + std::to_string(r.rank) + "/" + std::string(time_uses[u]) + "_sec",
                 sums[u] / static_cast<double>(rounds));
    }
  detailed_until_ = view.iteration;
  if (!s.is_empty()) events_->write(event_step(view.iteration), s);
}
