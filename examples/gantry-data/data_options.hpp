// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gantry-train/settings.hpp"
#include "pack.hpp"

/// What the command line of gantry-data says.
struct data_options {
  enum class command { inspect, pack, partition };

  command what{};
  std::filesystem::path path, data_dir;
  pack_settings settings;
  std::filesystem::path out;                         ///< of pack
  std::filesystem::path outdir{"runs/gantry-data"};  ///< of inspect and partition
  std::string partition{"iid"};
  int workers{4};
  std::uint64_t seed{0};
  std::vector<setting> given;
};

/// @returns nothing if help or the version was printed. @throws gantry::usage_error
std::optional<data_options> parse_data_options(int argc, const char* const* argv);
