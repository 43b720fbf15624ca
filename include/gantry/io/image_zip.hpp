// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Zip archives of PNG and JPEG files as StyleGAN's dataset_tool.py writes them, with the labels in
// dataset.json.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gantry/concepts/image_source.hpp"
#include "gantry/io/image_codec.hpp"
#include "gantry/io/random_reader.hpp"
#include "gantry/io/refuse.hpp"
#include "gantry/io/stylegan_labels.hpp"
#include "gantry/io/zip.hpp"

namespace gantry::inline v0::io {

/// The images of a zip archive in the order of their names, as StyleGAN has them.
class image_zip {
 public:
  /// Reads the names and labels only. Without dataset.json there are no labels.
  /// @throws data_error if the archive is damaged, has no images, or labels that do not fit
  image_zip(random_reader in, const image_codecs& codecs)
      : archive_(std::move(in)), codecs_(codecs) {
    std::vector<std::string> names;
    for (const zip_entry& entry : archive_.entries()) {
      const std::string base = entry.name.substr(entry.name.rfind('/') + 1);
      const bool hidden = base.starts_with('.');  // macOS adds "._img.png"
      if (hidden || kind_of_name(base) == image_kind::unknown) continue;
      images_.push_back(entry);
      names.push_back(entry.name);
    }
    if (images_.empty())
      refuse_file(archive_.file().name(), "entries that end in .png, .jpg or .jpeg", "none",
                  "zip the images themselves");
    if (const zip_entry* entry = archive_.find("dataset.json"))
      label_like_stylegan(archive_.read(*entry, most_label_bytes), archive_.name_of(*entry), names,
                          labels_, class_names_);
  }

  [[nodiscard]] std::size_t size() const { return images_.size(); }
  [[nodiscard]] std::size_t classes() const { return class_names_.size(); }
  [[nodiscard]] std::uint16_t label(std::size_t i) const {
    return labels_.empty() ? std::uint16_t{0} : labels_[i];
  }
  [[nodiscard]] std::string class_name(std::size_t c) const { return class_names_[c]; }
  [[nodiscard]] std::string name(std::size_t i) const { return archive_.name_of(images_[i]); }
  void decode(std::size_t i, image8& out) const {
    decode_image(codecs_, archive_.read(images_[i], most_image_bytes), name(i), out);
  }

 private:
  zip_archive archive_;
  image_codecs codecs_;
  std::vector<zip_entry> images_;
  std::vector<std::uint16_t> labels_;
  std::vector<std::string> class_names_;
};

}  // namespace gantry::io
