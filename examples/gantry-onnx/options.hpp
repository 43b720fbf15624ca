// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "gantry-train/settings.hpp"

/// What the flags of gantry-onnx say.
struct onnx_options {
  std::filesystem::path from, model;
  bool quiet{false};
  std::vector<setting> given;
};

/// @returns nothing if help or the version was printed. @throws gantry::usage_error
std::optional<onnx_options> parse_options(int argc, const char* const* argv);
