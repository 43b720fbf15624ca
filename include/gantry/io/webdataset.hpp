// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// WebDataset: tar archives ("shards") in which the files of one sample follow each other and have
// the same name up to its first dot: 000017.jpg, 000017.cls.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/concepts/image_source.hpp"
#include "gantry/io/image_codec.hpp"
#include "gantry/io/json.hpp"
#include "gantry/io/json_value.hpp"
#include "gantry/io/random_reader.hpp"
#include "gantry/io/refuse.hpp"
#include "gantry/io/stylegan_labels.hpp"
#include "gantry/io/tar.hpp"

namespace gantry::inline v0::io {

/// The images of tar archives, in the order of the archives and of the entries in them.
class webdataset {
 public:
  /// Reads all headers and labels: the number in a `.cls` file, or the integer `label` or `cls` of
  /// a `.json` file. All images have one, or the set has no labels.
  /// @throws data_error if an archive is damaged, or there are no images, or labels for some only
  webdataset(std::vector<random_reader> shards, const image_codecs& codecs)
      : shards_(std::move(shards)), codecs_(codecs) {
    for (std::size_t s = 0; s < shards_.size(); ++s) read_shard(s);
    if (images_.empty())
      refuse_file(shards_.empty() ? "a WebDataset" : shards_.front().name(),
                  "entries that end in .png, .jpg or .jpeg", "none",
                  "name tar archives that have images");
    require_labels();
    class_count_ = labels_.empty() ? 0 : std::size_t{*std::ranges::max_element(labels_)} + 1;
  }

  [[nodiscard]] std::size_t size() const { return images_.size(); }
  [[nodiscard]] std::size_t classes() const { return class_count_; }
  [[nodiscard]] std::uint16_t label(std::size_t i) const {
    return labels_.empty() ? std::uint16_t{0} : labels_[i];
  }
  [[nodiscard]] std::string class_name(std::size_t c) const { return std::to_string(c); }
  [[nodiscard]] std::string name(std::size_t i) const {
    return name_of(shards_[images_[i].shard], images_[i].entry);
  }
  void decode(std::size_t i, image8& out) const {
    const tar_entry& entry = images_[i].entry;
    decode_image(codecs_, shards_[images_[i].shard].read(entry.at, entry.size), name(i), out);
  }

 private:
  struct placed {
    std::size_t shard{};
    tar_entry entry;
  };

  [[nodiscard]] static std::string name_of(const random_reader& in, const tar_entry& entry) {
    return in.name() + ":" + printable(entry.name);
  }
  /// Up to the first dot behind the folder, and what follows the dot.
  [[nodiscard]] static std::pair<std::string, std::string> key_of(const std::string& name) {
    const std::size_t base = name.rfind('/') + 1;  // npos + 1 is 0
    const std::size_t dot = std::min(name.find('.', base), name.size());
    return {name.substr(0, dot), name.substr(std::min(dot + 1, name.size()))};
  }

  /// A label that is missing, or not beside its image, would take those of all others with it.
  void require_labels() const {
    const auto some =
        std::to_string(labels_.size()) + " for " + std::to_string(images_.size()) + " images";
    if (!labels_.empty() && labels_.size() != images_.size())
      refuse_file(name(*unlabelled_), "a label for each image or for none",
                  some + " and none for this one", "add the .cls file that is missing");
    if (labels_.empty() && !lonely_label_.empty())
      refuse_file(lonely_label_, "the files of a sample one behind the other",
                  "a label without its image", "sort the files of the archive by name");
  }

  void read_shard(std::size_t shard) {
    const std::vector<tar_entry> entries = read_tar(shards_[shard]);
    for (std::size_t i = 0; i < entries.size();) {
      const std::string key = key_of(entries[i].name).first;
      const auto last =
          std::find_if(entries.begin() + static_cast<std::ptrdiff_t>(i), entries.end(),
                       [&](const tar_entry& e) { return key_of(e.name).first != key; });
      const auto count = static_cast<std::size_t>(last - entries.begin()) - i;
      read_sample(shard, std::span(entries).subspan(i, count));
      i += count;
    }
  }

  void read_sample(std::size_t shard, std::span<const tar_entry> files) {
    const random_reader& in = shards_[shard];
    const std::string key = key_of(files.front().name).first;
    if (key.empty() || key.ends_with('/')) return;  // macOS adds "._img.png"
    const tar_entry *image = nullptr, *cls = nullptr;
    std::optional<std::uint16_t> label;
    for (const tar_entry& file : files) {
      const std::string ending = key_of(file.name).second;
      if (kind_of_name(file.name) != image_kind::unknown) {
        if (image != nullptr)
          refuse_file(name_of(in, file), "one image per sample", "two",
                      "give each image a name of its own");
        image = &file;
      } else if (ending == "cls") {
        label = number_in(in, file);
        cls = &file;
      } else if (ending == "json" && !label) {
        label = number_in_json(in, file);
      }
    }
    if (image == nullptr) {
      if (cls != nullptr) lonely_label_ = name_of(in, *cls);
      return;
    }
    if (label)
      labels_.push_back(*label);
    else if (!unlabelled_)
      unlabelled_ = images_.size();
    images_.push_back({shard, *image});
  }

  [[nodiscard]] static std::string text_of(const random_reader& in, const tar_entry& file) {
    constexpr std::uint64_t most = std::uint64_t{1} << 24;
    if (file.size > most)
      refuse_file(name_of(in, file), "a label of at most 16 MiB",
                  std::to_string(file.size) + " bytes", "make the archive anew");
    const std::vector<std::uint8_t> bytes = in.read(file.at, file.size);
    return {bytes.begin(), bytes.end()};
  }

  [[nodiscard]] static std::uint16_t number_in(const random_reader& in, const tar_entry& file) {
    const std::string text = text_of(in, file);
    std::string_view digits = text;
    while (!digits.empty() && std::string_view(" \t\r\n").find(digits.back()) != digits.npos)
      digits.remove_suffix(1);
    std::int64_t value = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (failed != std::errc() || end != digits.data() + digits.size())
      refuse_file(name_of(in, file), "the number of a class", "\"" + printable(text) + "\"",
                  "write the classes as numbers from 0");
    return checked_label(value, name_of(in, file), file.name);
  }

  /// Labels in JSON are a habit, no rule: objects without one are descriptions.
  [[nodiscard]] static std::optional<std::uint16_t> number_in_json(const random_reader& in,
                                                                   const tar_entry& file) {
    const json::value document = json::parse(text_of(in, file), name_of(in, file));
    if (document.is_int()) return checked_label(document.as_int(), name_of(in, file), file.name);
    if (!document.is_object()) return std::nullopt;
    for (const char* key : {"label", "cls"}) {
      const json::value* found = document.as_object().find(key);
      if (found != nullptr && found->is_int())
        return checked_label(found->as_int(), name_of(in, file), file.name);
    }
    return std::nullopt;
  }

  std::vector<random_reader> shards_;
  image_codecs codecs_;
  std::vector<placed> images_;
  std::vector<std::uint16_t> labels_;
  std::size_t class_count_{};
  std::optional<std::size_t> unlabelled_;  ///< the first image without a label
  std::string lonely_label_;               ///< a file with one that has no image
};

}  // namespace gantry::io
