// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Folders of PNG and JPEG files as data sets.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "gantry/concepts/image_source.hpp"
#include "gantry/io/folder_walk.hpp"
#include "gantry/io/image_codec.hpp"
#include "gantry/io/random_reader.hpp"
#include "gantry/io/refuse.hpp"
#include "gantry/io/stylegan_labels.hpp"

namespace gantry::inline v0::io {

/// Image files below a folder, with a label each or none at all.
struct image_files {
  std::filesystem::path folder;
  std::vector<std::string> files;        ///< relative to the folder
  std::vector<std::uint16_t> labels;     ///< one per file, or empty
  std::vector<std::string> class_names;  ///< as many as there are classes
  image_codecs codecs;

  [[nodiscard]] std::size_t size() const { return files.size(); }
  [[nodiscard]] std::size_t classes() const { return class_names.size(); }
  [[nodiscard]] std::uint16_t label(std::size_t i) const { return labels.empty() ? 0 : labels[i]; }
  [[nodiscard]] std::string class_name(std::size_t c) const { return class_names[c]; }
  [[nodiscard]] std::string name(std::size_t i) const { return (folder / files[i]).string(); }
  void decode(std::size_t i, image8& out) const {
    const random_reader in(folder / files[i]);
    if (in.size() > most_image_bytes)
      refuse_file(in.name(), "an image file of at most 1 GiB", std::to_string(in.size()) + " bytes",
                  "remove it or convert it");
    decode_image(codecs, in.read(0, in.size()), in.name(), out);
  }
};

namespace detail {

/// A file in a folder, in the parts that it is sorted by.
struct found_image {
  std::string parent, name;  ///< the parent relative to the folder, "" for the folder itself
  auto operator<=>(const found_image&) const = default;
};

/// All images below a folder, links followed, hidden names left out; in the order of torchvision's
/// ImageFolder: by folder, then by name, byte by byte. `foreign` gets one file of another kind.
inline std::vector<found_image> find_images(const std::filesystem::path& folder,
                                            std::string& foreign) {
  namespace fs = std::filesystem;
  std::vector<found_image> found;
  for_each_below(folder, unreadable_folders::refused, [&](const fs::directory_entry& at) {
    const std::string name = at.path().filename().string();
    if (kind_of_name(name) == image_kind::unknown) {
      if (foreign.empty() || name < foreign) foreign = name;
      return;
    }
    found.push_back({at.path().parent_path().lexically_relative(folder).generic_string(), name});
    if (found.back().parent == ".") found.back().parent.clear();
  });
  std::ranges::sort(found);
  return found;
}

/// Labels by the first folder below the set's: all images have one, or the set has no labels.
inline void label_by_folder(const std::vector<found_image>& found, image_files& set) {
  if (found.front().parent.empty()) return;  // sorted: images that lie in the folder come first
  for (const found_image& image : found) {
    const std::string top = image.parent.substr(0, image.parent.find('/'));
    set.class_names.push_back(top);
  }
  std::vector<std::string> tops = set.class_names;
  std::ranges::sort(tops);
  tops.erase(std::unique(tops.begin(), tops.end()), tops.end());
  if (tops.size() > std::numeric_limits<std::uint16_t>::max())
    refuse_file(set.folder.string(), "at most 65535 classes, one per folder",
                std::to_string(tops.size()) + " folders", "put the images into one folder");
  for (const std::string& top : set.class_names)
    set.labels.push_back(
        static_cast<std::uint16_t>(std::ranges::lower_bound(tops, top) - tops.begin()));
  set.class_names = std::move(tops);
}

}  // namespace detail

/// Opens a folder of PNG and JPEG files, nested or not. Labels come from `dataset.json` if the
/// folder has one (StyleGAN); else from the folders in it, 0, 1, ... in the order of their names
/// (torchvision's ImageFolder; ImageNet's train), if no image lies outside of them; else there are
/// none. Other files are left alone. Reads names only.
/// @throws data_error if this is no folder, or has no images, or labels that do not fit
inline image_files open_image_folder(const std::filesystem::path& folder,
                                     const image_codecs& codecs) {
  std::error_code unreadable;
  if (!std::filesystem::is_directory(folder, unreadable))
    refuse_file(folder.string(), "a folder of images",
                std::filesystem::exists(folder, unreadable) ? "something else" : "nothing",
                "name the folder that holds them");
  std::string foreign;
  const std::vector<detail::found_image> found = detail::find_images(folder, foreign);
  if (found.empty())
    refuse_file(folder.string(), "files that end in .png, .jpg or .jpeg",
                foreign.empty() ? "none" : "none, but " + printable(foreign),
                "name the folder that holds the images or convert them");
  image_files set{folder, {}, {}, {}, codecs};
  for (const detail::found_image& image : found)
    set.files.push_back(image.parent.empty() ? image.name : image.parent + '/' + image.name);
  if (std::filesystem::exists(folder / "dataset.json", unreadable)) {
    const random_reader in(folder / "dataset.json");
    if (in.size() > most_label_bytes)
      refuse_file(in.name(), "at most " + std::to_string(most_label_bytes) + " bytes of labels",
                  std::to_string(in.size()), "remove it or make it smaller");
    label_like_stylegan(in.read(0, in.size()), in.name(), set.files, set.labels, set.class_names);
  } else {
    detail::label_by_folder(found, set);
  }
  return set;
}

}  // namespace gantry::io
