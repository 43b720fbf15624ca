// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/tensorboard.hpp"
#include "gantry/train/checkpoint_folder.hpp"

#include "run_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace gantry;

constexpr std::array<std::string_view, 2> logs{"stats.jsonl", "metric-fid.jsonl"};
constexpr std::array<std::string_view, 4> pages{"reals.png", "fakes_init.png", "report.html",
                                                "config.toml"};

/// The iteration in a name such as fakes000100.png.
std::optional<std::uint32_t> picture_iteration(std::string_view name) {
  constexpr std::string_view prefix = "fakes", suffix = ".png";
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  name.remove_suffix(std::min(suffix.size(), name.size()));
  std::uint32_t iteration{};
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), iteration);
  if (failure != std::errc{} || end != name.data() + name.size() || name.size() < 6)
    return std::nullopt;
  return iteration;
}

/// Lines that have an iteration each.
bool is_log(std::string_view name) {
  return std::ranges::find(logs, name) != logs.end() || phases_rank(name);
}

bool is_page_or_log(std::string_view name) {
  return is_log(name) || std::ranges::find(pages, name) != pages.end();
}

/// What a run that was killed could not complete: unfinished checkpoints and temporary files.
bool is_leftover(std::string_view name) {
  if (train::iteration_of_unfinished(name)) return true;
  const std::size_t mark = name.rfind(".tmp-");
  if (mark == std::string_view::npos) return false;
  const std::string_view target = name.substr(0, mark);
  return is_page_or_log(target) || picture_iteration(target) || target == "write-check";
}

bool is_stale(const fs::path& path, std::optional<std::uint32_t> iteration) {
  const std::string name = path.filename().string();
  if (is_leftover(name)) return true;
  if (is_page_or_log(name) || io::event_file::is_name(name)) return !iteration;
  if (const auto saved_at = train::iteration_of_checkpoint(name))
    return !iteration || (*saved_at > *iteration && train::is_complete_checkpoint(path));
  const auto drawn_at = picture_iteration(name);
  return drawn_at && (!iteration || *drawn_at > *iteration);
}

/// Checkpoints of a run by iteration, complete or not.
std::vector<std::pair<std::uint32_t, fs::path>> checkpoints_in(const fs::path& folder) {
  std::vector<std::pair<std::uint32_t, fs::path>> found;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing))
    if (const auto iteration = train::iteration_of_checkpoint(entry.path().filename().string()))
      found.emplace_back(*iteration, entry.path());
  std::ranges::sort(found);
  return found;
}

std::string counted(int n, const std::string& what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

/// Runs a function that reads a log of an earlier run. @throws data_error that names the file
template <class Read>
void reading(const fs::path& path, Read read) {
  try {
    read();
  } catch (const data_error& e) {
    throw data_error(path.string() + " was expected to hold the lines of an earlier run (" +
                     e.what() + "); remove it, or train without --resume");
  }
}

}  // namespace

std::optional<int> phases_rank(std::string_view name) {
  constexpr std::string_view prefix = "phases-", suffix = ".jsonl";
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) return std::nullopt;
  name = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  int rank{};
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), rank);
  if (failure != std::errc{} || end != name.data() + name.size() || rank < 0) return std::nullopt;
  return rank;
}

bool goes_on_in(const fs::path& folder, const fs::path& checkpoint) {
  std::error_code missing;
  return !checkpoint.empty() &&
         fs::equivalent(fs::canonical(checkpoint).parent_path(), folder, missing);
}

fs::path require_checkpoint(const fs::path& folder) {
  if (train::is_complete_checkpoint(folder)) return folder;
  std::string found = "none";
  auto checkpoints = checkpoints_in(folder);
  std::ranges::reverse(checkpoints);
  for (const auto& [iteration, path] : checkpoints) {
    if (train::is_complete_checkpoint(path)) return path;
    if (found == "none")
      found = "none that is complete (no MANIFEST.json in " + path.string() + ")";
  }
  throw data_error("expected a checkpoint at " + folder.string() + " and found " + found +
                   "; give a network-snapshot folder or the folder of a run that has saved one");
}

std::vector<fs::path> incomplete_after(const fs::path& checkpoint) {
  const fs::path whole = fs::canonical(checkpoint);
  const auto iteration = train::iteration_of_checkpoint(whole.filename().string());
  std::vector<fs::path> later;
  for (const auto& [saved_at, path] : checkpoints_in(whole.parent_path()))
    if (iteration && saved_at > *iteration && !train::is_complete_checkpoint(path))
      later.push_back(path);
  return later;
}

std::optional<fs::path> any_checkpoint(const fs::path& folder) {
  const auto found = checkpoints_in(folder);
  return found.empty() ? std::nullopt : std::optional(found.back().second);
}

std::string clear_run_folder(const fs::path& folder, std::optional<std::uint32_t> iteration) {
  std::vector<fs::path> stale, kept_logs;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_stale(entry.path(), iteration))
      stale.push_back(entry.path());
    else if (is_log(entry.path().filename().string()))
      kept_logs.push_back(entry.path());
  }
  for (const fs::path& log : kept_logs)
    reading(log, [&] {
      io::line_log::keep_lines(log, [&](std::string_view line) {
        return io::json::parse(line).at("iteration").as_int() <= *iteration;
      });
    });
  int checkpoints = 0, files = 0;
  for (const fs::path& path : stale) {
    ++(train::iteration_of_checkpoint(path.filename().string()) ? checkpoints : files);
    fs::remove_all(path);
  }
  if (stale.empty()) return {};
  return "removed what an earlier run left in " + folder.string() +
         (iteration ? " behind iteration " + std::to_string(*iteration) : "") + ": " +
         counted(checkpoints, "checkpoint") + ", " + counted(files, "other file");
}

void for_each_line(const fs::path& path, const std::function<void(const io::json::value&)>& use) {
  if (!fs::exists(path)) return;
  const std::string text = io::read_text(path);
  reading(path, [&] {
    std::string_view rest = text;
    for (std::size_t end; (end = rest.find('\n')) != std::string_view::npos;
         rest.remove_prefix(end + 1))
      use(io::json::parse(rest.substr(0, end)));
  });
}

std::vector<io::picture> read_pictures(const fs::path& folder) {
  std::vector<io::picture> pictures;
  const auto add = [&](const char* caption, std::int64_t iteration, const fs::path& path) {
    if (fs::exists(path)) pictures.push_back({caption, iteration, io::read_file(path)});
  };
  add("real images", -1, folder / "reals.png");
  add("generated images", 0, folder / "fakes_init.png");
  std::vector<std::pair<std::uint32_t, fs::path>> grids;
  for (const auto& entry : fs::directory_iterator(folder))
    if (const auto iteration = picture_iteration(entry.path().filename().string()))
      grids.emplace_back(*iteration, entry.path());
  std::ranges::sort(grids);
  for (const auto& [iteration, path] : grids) add("generated images", iteration, path);
  return pictures;
}
