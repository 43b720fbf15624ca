// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

#include "gantry/base/error.hpp"
#include "gantry/data/byte_reader.hpp"
#include "gantry/data/idx.hpp"
#include "gantry/data/image_set.hpp"

namespace gantry::inline v0::data {

/// Where Debian's package dataset-fashion-mnist puts its files.
inline constexpr const char* debian_fashion_mnist = "/usr/share/datasets/fashion-mnist";

namespace detail {

/// The file `stem` or `stem.gz` in a directory. @throws data_error if neither is there
inline std::filesystem::path find_idx(const std::filesystem::path& dir, const std::string& stem,
                                      const std::string& advice) {
  std::error_code unreadable;
  for (const std::string& name : {stem, stem + ".gz"})
    if (std::filesystem::exists(dir / name, unreadable)) return dir / name;
  refuse(dir, "a file " + stem + " or " + stem + ".gz", "neither", advice);
}

/// Reads the 28 x 28, 10-class set that has the file names of MNIST.
inline image_set read_mnist_like(const std::filesystem::path& dir, split part,
                                 const std::string& name, const std::string& advice) {
  std::error_code unreadable;
  if (!std::filesystem::is_directory(dir, unreadable))
    refuse(dir, "the directory of " + name,
           std::filesystem::exists(dir, unreadable) ? "something else" : "nothing", advice);
  const std::string prefix = part == split::train ? "train" : "t10k";
  const std::filesystem::path images = find_idx(dir, prefix + "-images-idx3-ubyte", advice);
  const std::filesystem::path labels = find_idx(dir, prefix + "-labels-idx1-ubyte", advice);
  return read_idx_set(images, labels, name + (part == split::train ? " train" : " test"),
                      {.height = 28, .width = 28, .classes = 10});
}

}  // namespace detail

/// MNIST (LeCun, Cortes, Burges): 60,000 / 10,000 grey digits of 28 x 28, 10 classes.
/// @throws usage_error for an empty path, data_error for files that are missing, damaged or others
inline image_set mnist(const std::filesystem::path& dir, split part = split::train) {
  expects(!dir.empty(),
          "MNIST needs the directory of its four IDX files but got an empty path; name it");
  return detail::read_mnist_like(dir, part, "MNIST",
                                 "name the directory that holds the four IDX files of MNIST");
}

/// Fashion-MNIST (Xiao, Rasul, Vollgraf, arXiv 1708.07747): 60,000 / 10,000 grey images of clothes,
/// 28 x 28, 10 classes. An empty path stands for the place of the Debian package.
/// @throws data_error for files that are missing, damaged or others
inline image_set fashion_mnist(const std::filesystem::path& dir = {}, split part = split::train) {
  return detail::read_mnist_like(
      dir.empty() ? std::filesystem::path(debian_fashion_mnist) : dir, part, "Fashion-MNIST",
      "run `apt-get install dataset-fashion-mnist` or name the directory that holds its IDX files");
}

}  // namespace gantry::data
