// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A split that somebody else made: a text file, plain or gzip, in one of two forms. Lines that
// begin with # are comments.
//
//   3        the worker of sample 0        0: 5 17 3     the samples of worker 0
//   0        the worker of sample 1        1: 2 4        the samples of worker 1
//   ...                                    ...           (several lines per worker are joined)
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/data/byte_reader.hpp"
#include "gantry/data/shard.hpp"

namespace gantry::inline v0::data {

/// Reads one partition file; used through read_partition().
class partition_file_reader {
 public:
  partition_file_reader(const std::filesystem::path& path, std::uint32_t size, int workers)
      : path_(path), owner_(size, no_worker), parts_(static_cast<std::size_t>(workers)) {}

  std::vector<index_list> read() {
    const std::string text = contents();
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      ++line_;
      take_line(std::string_view(text).substr(at, end - at));
      at = end + 1;
    }
    line_ = 0;
    if (!lists_.value_or(true) && samples_ != owner_.size())
      refuse_here("one line for each of " + std::to_string(owner_.size()) + " samples",
                  std::to_string(samples_), "make the list from this data set");
    for (std::size_t i = 0; i < owner_.size(); ++i)
      if (owner_[i] == no_worker)
        refuse_here("a worker for each of " + std::to_string(owner_.size()) + " samples",
                    "none for sample " + std::to_string(i), "add it to a worker's list");
    return std::move(parts_);
  }

 private:
  static constexpr std::uint32_t no_worker = std::numeric_limits<std::uint32_t>::max();

  std::string contents() const {
    byte_reader in(path_);
    std::string text;
    std::array<std::uint8_t, 1 << 16> block{};
    for (std::size_t n = block.size(); n == block.size();) {
      n = in.read(block);
      text.append(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(n));
    }
    return text;
  }

  void take_line(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with('#')) return;
    const std::size_t colon = line.find(':');
    const bool is_list = colon != std::string_view::npos;
    if (lists_.value_or(is_list) != is_list)
      refuse_here(is_list ? "one worker" : "a worker, a colon and its samples", quoted(line),
                  "use one of the two forms throughout");
    lists_ = is_list;
    const std::uint32_t worker = number(line.substr(0, colon), "worker", parts_.size());
    if (!is_list) {
      if (samples_ == owner_.size())
        refuse_here("one line for each of " + std::to_string(owner_.size()) + " samples",
                    "one more", "make the list from this data set");
      give(samples_++, worker);
      return;
    }
    std::string_view rest = line.substr(colon + 1);
    for (std::size_t at; (at = rest.find_first_not_of(" \t")) != std::string_view::npos;) {
      rest.remove_prefix(at);
      const std::string_view word = rest.substr(0, rest.find_first_of(" \t"));
      give(number(word, "sample", owner_.size()), worker);
      rest.remove_prefix(word.size());
    }
  }

  void give(std::uint32_t sample, std::uint32_t worker) {
    if (owner_[sample] != no_worker)
      refuse_here("each sample once",
                  "sample " + std::to_string(sample) + " for worker " +
                      std::to_string(owner_[sample]) + " and again for worker " +
                      std::to_string(worker),
                  "leave one of them out");
    owner_[sample] = worker;
    parts_[worker].push_back(sample);
  }

  /// A number below `bound`, and nothing else.
  std::uint32_t number(std::string_view word, const char* what, std::size_t bound) const {
    std::uint32_t value = 0;
    const auto [end, failed] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (failed != std::errc{} || end != word.data() + word.size() || value >= bound)
      refuse_here(std::string("the number of a ") + what + " below " + std::to_string(bound),
                  quoted(word), "correct the line");
    return value;
  }

  static std::string quoted(std::string_view text) {
    constexpr std::size_t longest = 40;
    return "\"" + std::string(text.substr(0, longest)) + (text.size() > longest ? "..." : "") +
           "\"";
  }

  [[noreturn]] void refuse_here(const std::string& expected, const std::string& found,
                                const std::string& advice) const {
    refuse(path_, (line_ > 0 ? "in line " + std::to_string(line_) + " " : std::string()) + expected,
           found, advice);
  }

  const std::filesystem::path& path_;
  std::vector<std::uint32_t> owner_;  ///< of each sample
  std::vector<index_list> parts_;
  std::optional<bool> lists_;  ///< the form of the file, once a line was seen
  std::size_t line_{};         ///< the one being read; 0 for the whole file
  std::uint32_t samples_{};    ///< lines of the first form so far
};

/// The positions of each worker's samples, as a file says. Every sample has exactly one worker.
/// @throws data_error, with the line, for a file that is missing, damaged, or for another number of
/// samples or workers
inline std::vector<index_list> read_partition(const std::filesystem::path& path, std::uint32_t size,
                                              int workers) {
  return partition_file_reader(path, size, workers).read();
}

/// The partitioner that reads such a file.
struct from_file {
  std::filesystem::path path{};

  /// @throws data_error as read_partition()
  [[nodiscard]] std::vector<index_list> split(std::uint32_t size, int workers,
                                              std::uint64_t) const {
    return read_partition(path, size, workers);
  }
};

}  // namespace gantry::data
