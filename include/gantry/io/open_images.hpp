// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Data sets of encoded images, whatever their format: one path in, one type out.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "gantry/concepts/image_source.hpp"
#include "gantry/io/image_codec.hpp"
#include "gantry/io/image_files.hpp"

namespace gantry::io {

/// What the formats need beside a path.
struct open_options {
  image_codecs codecs;    ///< of io/installed_codecs.hpp, for instance
  std::string attribute;  ///< of CelebA, which becomes the label; "" for no labels
};

/// Opens the data set at a path by what is there.
/// @throws data_error if there is none or it is damaged, usage_error for an attribute it has not
inline any_image_source open_images(const std::filesystem::path& path, const open_options& o) {
  return any_image_source(open_image_folder(path, o.codecs));
}

}  // namespace gantry::io
