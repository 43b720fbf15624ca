// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gantry-train/settings.hpp"

/// What the flags of gantry-features say.
struct features_options {
  std::string network;
  std::filesystem::path images, result;
  int threads{0};
  bool quiet{false};
  std::vector<setting> given;
};

/// @returns nothing if help or the version was printed. @throws gantry::usage_error
std::optional<features_options> parse_options(int argc, const char* const* argv);
