// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What a person sees while a program works: a bar and one moving line on a terminal, a plain line
// now and then in a log.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

#include "gantry/io/utf8.hpp"

namespace gantry::inline v0::io {

enum class progress_mode {
  quiet,   ///< nothing at all
  lines,   ///< plain lines, no escape codes: logs and simple terminals
  status,  ///< one line that overwrites itself
};

/// The mode for a descriptor: a moving line only on a terminal, and not if NO_COLOR is set or TERM
/// is "dumb".
inline progress_mode choose_progress_mode(bool quiet, int fd = STDERR_FILENO) {
  if (quiet) return progress_mode::quiet;
  const char* no_colour = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool plain = (no_colour && *no_colour) || !term || std::string_view(term) == "dumb";
  return !plain && ::isatty(fd) ? progress_mode::status : progress_mode::lines;
}

/// "45s", "3m 21s", "2h 05m", "3d 04h"; "--" for a time that is not known.
inline std::string duration_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "--";
  const auto total = static_cast<long>(std::lround(seconds));
  const auto pair = [](long big, const char* unit, long small, const char* small_unit) {
    return std::to_string(big) + unit + (small < 10 ? " 0" : " ") + std::to_string(small) +
           small_unit;
  };
  if (total < 60) return std::to_string(total) + "s";
  if (total < 3600) return pair(total / 60, "m", total % 60, "s");
  if (total < 86400) return pair(total / 3600, "h", total / 60 % 60, "m");
  return pair(total / 86400, "d", total / 3600 % 24, "h");
}

/// Where progress goes and how often. The defaults suit a program that reports to stderr.
struct progress_options {
  progress_mode mode = choose_progress_mode(false);
  const char* unit = "iteration";  ///< what is counted
  double line_interval = 5.0;      ///< seconds between plain lines
  double status_interval = 0.1;    ///< seconds between updates of the moving line
  std::function<void(std::string_view)> write = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  };
  std::function<double()> seconds = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
  std::function<int()> columns = [] {
    winsize size{};
    return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  };
};

/// Reports iterations of a known total. Safe to call from several threads.
class progress {
 public:
  explicit progress(std::int64_t total, progress_options options = {})
      : total_(total), options_(std::move(options)) {}
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() {
    try {
      finish();
    } catch (...) {  // a report that cannot be written must not end the program
    }
  }

  /// Reports that `iteration` of the total are done. The first call sets where a resumed run
  /// begins, so call it once before the work. Text that comes too early is kept and shown later.
  void update(std::int64_t iteration, std::string_view metrics = {}) {
    if (options_.mode == progress_mode::quiet) return;
    const std::lock_guard lock(mutex_);
    const double now = options_.seconds();
    if (!started_) {
      started_ = true;
      first_iteration_ = iteration;
      first_time_ = now;
      shown_time_ = -HUGE_VAL;
    }
    iteration_ = iteration;
    now_ = now;
    metrics_ = printable(metrics);
    shown_ = false;
    const bool moving = options_.mode == progress_mode::status;
    const double interval = moving ? options_.status_interval : options_.line_interval;
    if (now - shown_time_ >= interval || iteration == total_) show();
  }

  /// Prints a line of its own, above the moving line if there is one.
  void note(std::string_view text) {
    if (options_.mode == progress_mode::quiet) return;
    const std::lock_guard lock(mutex_);
    options_.write((on_screen_ ? clear_line : "") + printable(text) + "\n");
    if (on_screen_) {
      on_screen_ = false;
      show();
    }
  }

  /// Shows the last state and leaves the line; called by the destructor too.
  void finish() {
    const std::lock_guard lock(mutex_);
    if (started_ && !shown_) show();
    if (on_screen_) options_.write("\n");
    on_screen_ = false;
  }

 private:
  static constexpr const char* clear_line = "\r\x1b[K";

  void show() {
    shown_ = true;
    shown_time_ = now_;
    if (options_.mode == progress_mode::status) {
      const int columns = options_.columns();
      options_.write(clear_line + first_columns(bar(columns) + text(), columns - 1));
      on_screen_ = true;
    } else {
      options_.write(text() + "\n");
    }
  }

  /// 0 to 1, of a total that is known.
  [[nodiscard]] double part_done() const {
    return std::clamp(static_cast<double>(iteration_) / static_cast<double>(total_), 0.0, 1.0);
  }

  /// "[=====>    ] ", or nothing where the text needs the room.
  [[nodiscard]] std::string bar(int columns) const {
    constexpr std::size_t cells = 20;
    constexpr int room = 60;
    if (total_ <= 0 || columns < room) return {};
    const auto full = static_cast<std::size_t>(static_cast<double>(cells) * part_done());
    std::string out = "[" + std::string(full, '=');
    if (full < cells) out += ">" + std::string(cells - full - 1, ' ');
    return out + "] ";
  }

  [[nodiscard]] std::string text() const {
    std::string out = std::string(options_.unit) + " " + std::to_string(iteration_);
    if (total_ > 0) {
      out += "/" + std::to_string(total_) + " (" +
             std::to_string(static_cast<int>(100 * part_done())) + "%)";
    }
    const auto done = static_cast<double>(iteration_ - first_iteration_);
    const double elapsed = now_ - first_time_;
    if (done > 0 && elapsed > 0) {
      out += "  " + rate_text(done / elapsed);
      const auto left = static_cast<double>(total_ - iteration_);
      if (left > 0) out += "  ETA " + duration_text(left * elapsed / done);
      if (left == 0) out += "  took " + duration_text(elapsed);
    }
    if (!metrics_.empty()) out += "  " + metrics_;
    return out;
  }

  static std::string rate_text(double per_second) {
    std::array<char, 32> text{};
    const bool fast = per_second >= 1;
    const int size = std::snprintf(text.data(), text.size(), fast ? "%.1f it/s" : "%.1f s/it",
                                   fast ? per_second : 1 / per_second);
    return {text.data(), static_cast<std::size_t>(size)};
  }

  /// Control characters would break the line or reach the terminal as commands.
  static std::string printable(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
    }
    return out;
  }

  /// The beginning that fits; a line that wraps could not be overwritten.
  static std::string first_columns(const std::string& text, int columns) {
    std::size_t kept = 0;
    for (int i = 0; i < columns && kept < text.size(); ++i) {
      const std::size_t length = utf8_length(std::string_view(text).substr(kept));
      kept += length == 0 ? 1 : length;
    }
    return text.substr(0, kept);
  }

  std::mutex mutex_;
  std::int64_t total_;
  progress_options options_;
  std::int64_t first_iteration_ = 0;
  std::int64_t iteration_ = 0;
  double first_time_ = 0;
  double shown_time_ = 0;
  double now_ = 0;
  std::string metrics_;
  bool started_ = false;
  bool shown_ = true;
  bool on_screen_ = false;
};

}  // namespace gantry::io
