// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gantry-train/settings.hpp"

/// What the flags of gantry-metrics say. 0 images: all there are, 10000 of a generator.
struct metrics_options {
  std::string checkpoint;  ///< what is scored: a checkpoint, or the folder of a run
  std::string images;      ///< or images that are there
  std::string data, split{"test"};
  std::filesystem::path data_dir;
  std::string features{"auto"};
  std::vector<std::string> metrics{"fid", "kid", "is", "prdc"};
  std::size_t samples{0}, reference{0};
  int is_splits{0}, kid_subsets{100};
  std::size_t kid_size{1000};
  std::uint64_t seed{0};
  std::filesystem::path json, cache{"default"};
  int threads{0}, workers{1};
  std::string transport{"threads"};
  bool quiet{false};
  std::vector<setting> given;

  [[nodiscard]] bool wants(const char* metric) const;
  /// Whether the feature network is the built-in one, trained or not.
  [[nodiscard]] bool uses_classifier() const { return features.find(':') == std::string::npos; }
};

/// @returns nothing if help or the version was printed. @throws gantry::usage_error
std::optional<metrics_options> parse_options(int argc, const char* const* argv);
