// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The data sets that all programs know by name.
#pragma once

#include <filesystem>
#include <string>

#include "gantry/data/image_set.hpp"
#include "gantry/tensor/shape.hpp"

/// What is known about a data set before it is read.
struct published_set {
  std::string name;
  gantry::hwc image;
  int classes{};
  gantry::data::image_set (*read)(const std::filesystem::path&, gantry::data::split);
  std::filesystem::path default_folder;  ///< where it is without --data-dir; empty: nowhere
};

/// The set of that name, or nothing.
const published_set* find_published(const std::string& name);

/// "fashion-mnist,mnist,..."
std::string published_names(const char* between);
