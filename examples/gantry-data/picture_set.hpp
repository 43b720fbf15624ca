// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Data sets that a user names by their path. The only place of the programs that knows the readers
// of formats.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gantry/concepts/image_source.hpp"

/// Images at a path, and what they were recognised as.
struct picture_set {
  gantry::any_image_source images;
  std::string format;  ///< "a folder of images"
};

/// Opens a folder of images, an archive, a packed file, or the published files of MNIST or CIFAR,
/// recognised by what is there. `attribute` of CelebA becomes the label.
/// @throws gantry::data_error if it is none of them or damaged, gantry::usage_error for an
/// attribute that it has not
picture_set open_pictures(const std::filesystem::path& path, const std::string& attribute = {});

/// The path itself, or the files of a range of shards, name-{000..099}.tar.
/// @throws gantry::usage_error for a range that is none
std::vector<std::filesystem::path> parts_of(const std::filesystem::path& path);

/// Pictures that a program writes must not become data. @throws gantry::usage_error if `outdir`, of
/// --outdir, is the folder of a data set or in it
void require_elsewhere(const std::filesystem::path& outdir, const std::filesystem::path& data);

/// Whether there is something at a path, or at all of a range of shards.
bool is_there(const std::filesystem::path& path);

/// What the build lacks, one sentence each, empty for nothing: "this program was built without
/// libpng ...".
std::string missing_decoders();
