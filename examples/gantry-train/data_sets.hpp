// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The data sets that gantry-train knows by name, and those of its users.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gantry/data/image_set.hpp"
#include "gantry/tensor/shape.hpp"

#include "gantry-data/published_sets.hpp"
#include "options.hpp"

/// Whether --data names a published set; else it is the path of somebody's own images.
bool is_published(const program_options& o);

/// The published set that --data names.
const published_set& chosen_data(const program_options& o);

/// What --data may be: the name of a published set, or a path. Returns what is wrong, or nothing.
std::string data_complaint(const std::string& text);

/// The same for --features; files of weights are opened when they are needed.
std::string features_complaint(const std::string& text);

/// A set as published, which the classifier reads, and in the extents of the networks; the same
/// object where the extents agree. Own images have no test set.
struct data_sets {
  using pointer = std::shared_ptr<const gantry::data::image_set>;
  pointer published_train{}, published_test{}, train{}, test{};
  std::string train_facts{}, test_facts{};  ///< name, size, SHA-256 and files
  int classes{};                            ///< 0: no labels
  std::string own_sha256{};                 ///< of the pixels and labels of own images
};

/// @throws gantry::usage_error if networks for such images cannot be trained on the set
void require_fitting_images(const program_options& o, gantry::hwc image);

/// Reads both parts and brings them to the extents of the networks. Own images are decoded once,
/// with progress unless o.quiet, and kept in the cache for the next run.
/// @throws gantry::data_error for files that are missing, damaged or those of another set
data_sets load_data(const program_options& o, gantry::hwc image);

/// Whether --features is a classifier that learns the classes of the data; else, and without a file
/// of weights, it is an untrained one. Own images need 2 to 10 classes for that, in colour up to
/// 100, and 20 images.
bool trains_classifier(const program_options& o, const data_sets& sets);

/// @throws gantry::usage_error if --features lenet has no classes to learn
void require_features(const program_options& o, const data_sets& sets);

/// @throws gantry::usage_error if networks that read labels are to train on a set without, or on
/// one of other classes, or a pair for each label on a set of more or fewer labels than workers
void require_labels(const program_options& o, const data_sets& sets, int classes_of_networks);
