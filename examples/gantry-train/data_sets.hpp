// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The data sets that gantry-train knows by name.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gantry/data/image_set.hpp"
#include "gantry/tensor/shape.hpp"

#include "options.hpp"

/// What is known about a data set before it is read.
struct data_choice {
  std::string name;
  gantry::hwc image;
  int classes{};
  gantry::data::image_set (*read)(const std::filesystem::path&, gantry::data::split);
  std::filesystem::path default_folder;  ///< where it is without --data-dir; empty: nowhere
};

/// The set that --data names.
const data_choice& chosen_data(const program_options& o);

/// A set as published, which the classifier reads, and in the extents of the networks; the same
/// object where the extents agree.
struct data_sets {
  using pointer = std::shared_ptr<const gantry::data::image_set>;
  pointer published_train{}, published_test{}, train{}, test{};
  std::string train_facts{}, test_facts{};  ///< name, size, SHA-256 and files
};

/// @throws gantry::usage_error if networks for such images cannot be trained on the set
void require_fitting_images(const program_options& o, gantry::hwc image);

/// Reads both parts and brings them to the extents of the networks.
/// @throws gantry::data_error for files that are missing, damaged or those of another set
data_sets load_data(const program_options& o, gantry::hwc image);
