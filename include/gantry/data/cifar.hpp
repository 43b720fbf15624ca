// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The binary versions of CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning multiple layers of features
// from tiny images", 2009): records of one or two label bytes and 32 x 32 pixels, a plane of red,
// one of green, one of blue. Files may be gzip.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/data/byte_reader.hpp"
#include "gantry/data/image_set.hpp"

namespace gantry::inline v0::data {

/// Which of the two labels of a CIFAR-100 image: one of 20 groups or one of 100 classes.
enum class cifar100_labels { coarse, fine };

namespace detail {

inline constexpr int cifar_side = 32, cifar_channels = 3;
inline constexpr std::size_t cifar_plane = std::size_t{cifar_side} * cifar_side;
inline constexpr std::size_t cifar_pixels = cifar_channels * cifar_plane;

/// What a record begins with: how many label bytes, their bounds, and which one is kept.
struct cifar_format {
  std::string name;
  std::vector<std::uint8_t> classes;  ///< label byte i is below classes[i]
  std::size_t kept{};
  std::string folder, archive;  ///< as published
};

inline cifar_format cifar10_format() {
  return {"CIFAR-10", {10}, 0, "cifar-10-batches-bin", "cifar-10-binary.tar.gz"};
}
inline cifar_format cifar100_format(cifar100_labels labels) {
  return {"CIFAR-100",
          {20, 100},
          labels == cifar100_labels::fine ? std::size_t{1} : 0,
          "cifar-100-binary",
          "cifar-100-binary.tar.gz"};
}

/// Appends the records of a file. @throws data_error if it is damaged or of another kind
inline void append_cifar(byte_reader& in, const cifar_format& format, image_set& set) {
  const std::filesystem::path& file = in.file();
  const std::size_t labels = format.classes.size();
  std::vector<std::uint8_t> record(labels + cifar_pixels);
  const std::string expected =
      "whole records of " + std::to_string(record.size()) + " bytes (" + format.name + ")";
  std::size_t count = 0, got = 0;
  for (; (got = in.read(record)) == record.size(); ++count) {
    for (std::size_t i = 0; i < labels; ++i)
      if (record[i] >= format.classes[i])
        refuse(file, "labels below " + std::to_string(format.classes[i]) + " (" + format.name + ")",
               std::to_string(record[i]) + " in record " + std::to_string(count),
               "use the binary version of " + format.name + ", " + format.archive);
    set.labels.push_back(record[format.kept]);
    const std::uint8_t* from = record.data() + labels;
    for (std::size_t p = 0; p < cifar_plane; ++p)
      for (std::size_t c = 0; c < cifar_channels; ++c)
        set.pixels.push_back(from[c * cifar_plane + p]);
  }
  if (got != 0)
    refuse(file, expected,
           std::to_string(count) + " of them and " + std::to_string(got) + " bytes more",
           "download " + format.archive + " again");
  if (count == 0) refuse(file, expected, "none", "download " + format.archive + " again");
  set.files.push_back(file);
}

/// The folder that has the files: the one given, or the published one in it.
/// @throws data_error if there is none
inline std::filesystem::path cifar_folder(const std::filesystem::path& dir,
                                          const cifar_format& format) {
  std::error_code unreadable;
  if (!std::filesystem::is_directory(dir, unreadable))
    refuse(dir, "the directory of " + format.name,
           std::filesystem::exists(dir, unreadable) ? "something else" : "nothing",
           "name the directory that " + format.archive + " was unpacked into");
  const std::filesystem::path inner = dir / format.folder;
  return std::filesystem::is_directory(inner, unreadable) ? inner : dir;
}

/// Reads those of the files that are there, each plain or with the ending .gz.
/// @throws data_error if none is there, or one is damaged
inline image_set read_cifar(const std::filesystem::path& dir, const cifar_format& format,
                            split part, std::span<const std::string> names) {
  const std::filesystem::path folder = cifar_folder(dir, format);
  image_set set{cifar_side, cifar_side, cifar_channels, {}, {}, {}, {}};
  set.name = format.name + (part == split::train ? " train" : " test");
  std::error_code unreadable;
  for (const std::string& name : names)
    for (const std::string& file : {name, name + ".gz"})
      if (std::filesystem::exists(folder / file, unreadable)) {
        byte_reader in(folder / file);
        append_cifar(in, format, set);
        break;
      }
  if (set.files.empty())
    refuse(folder,
           names.size() == 1 ? "a file " + names.front()
                             : "at least one of " + names.front() + " to " + names.back(),
           "none", "name the directory that " + format.archive + " was unpacked into");
  return set;
}

}  // namespace detail

/// CIFAR-10: 50,000 / 10,000 colour images of 32 x 32, 10 classes; fewer if some of the files
/// data_batch_1.bin to data_batch_5.bin are not in the directory (or in cifar-10-batches-bin in
/// it).
/// @throws usage_error for an empty path, data_error for files that are missing, damaged or others
inline image_set cifar10(const std::filesystem::path& dir, split part = split::train) {
  expects(!dir.empty(),
          "CIFAR-10 needs the directory of its binary files but got an empty path; name it");
  std::vector<std::string> names{"test_batch.bin"};
  if (part == split::train) {
    names.clear();
    for (int i = 1; i <= 5; ++i) names.push_back("data_batch_" + std::to_string(i) + ".bin");
  }
  return detail::read_cifar(dir, detail::cifar10_format(), part, names);
}

/// CIFAR-100: 50,000 / 10,000 colour images of 32 x 32, 100 classes in 20 groups, from train.bin
/// and test.bin in the directory (or in cifar-100-binary in it).
/// @throws usage_error for an empty path, data_error for files that are missing, damaged or others
inline image_set cifar100(const std::filesystem::path& dir, split part = split::train,
                          cifar100_labels labels = cifar100_labels::fine) {
  expects(!dir.empty(),
          "CIFAR-100 needs the directory of its binary files but got an empty path; name it");
  const std::array<std::string, 1> names{part == split::train ? "train.bin" : "test.bin"};
  return detail::read_cifar(dir, detail::cifar100_format(labels), part, names);
}

}  // namespace gantry::data
