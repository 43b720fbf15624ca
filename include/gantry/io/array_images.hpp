// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Images in NumPy's files: an array of uint8 in .npy, or one with an array of labels in .npz.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/concepts/image_source.hpp"
#include "gantry/io/npy_header.hpp"
#include "gantry/io/random_reader.hpp"
#include "gantry/io/refuse.hpp"
#include "gantry/io/stylegan_labels.hpp"
#include "gantry/io/zip.hpp"

namespace gantry::inline v0::io {

/// Images of one size in an array [n][h][w], [n][h][w][c] or [n][c][h][w] with c = 1 or 3, read one
/// at a time from where they are.
class array_images {
 public:
  /// The array at `header` of a file; `name` stands in messages.
  /// @throws data_error if it is no array of images, or the labels do not fit it
  array_images(random_reader in, const npy_header& header, std::string name,
               std::vector<std::uint16_t> labels)
      : in_(std::move(in)),
        data_(header.data),
        name_(std::move(name)),
        labels_(std::move(labels)),
        class_names_(numbered_classes(labels_)) {
    set_layout(header);
    if (!labels_.empty() && labels_.size() != count_)
      refuse_file(name_, std::to_string(count_) + " labels, one per image",
                  std::to_string(labels_.size()), "save images and labels of the same set");
  }

  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t classes() const { return class_names_.size(); }
  [[nodiscard]] std::uint16_t label(std::size_t i) const {
    return labels_.empty() ? std::uint16_t{0} : labels_[i];
  }
  [[nodiscard]] std::string class_name(std::size_t c) const { return class_names_[c]; }
  [[nodiscard]] std::string name(std::size_t i) const {
    return name_ + "[" + std::to_string(i) + "]";
  }
  void decode(std::size_t i, image8& out) const {
    out.height = height_;
    out.width = width_;
    out.channels = channels_;
    const auto plane = static_cast<std::size_t>(height_) * static_cast<std::size_t>(width_);
    const auto channels = static_cast<std::size_t>(channels_);
    out.pixels.resize(plane * channels);
    const std::uint64_t at = data_ + i * out.pixels.size();
    if (!planes_) return in_.read(at, std::span(out.pixels));
    const std::vector<std::uint8_t> from = in_.read(at, out.pixels.size());
    for (std::size_t p = 0; p < plane; ++p)
      for (std::size_t c = 0; c < channels; ++c) out.pixels[p * channels + c] = from[c * plane + p];
  }

 private:
  void set_layout(const npy_header& header) {
    const std::vector<std::uint64_t>& s = header.shape;
    const auto colours = [](std::uint64_t extent) { return extent == 1 || extent == 3; };
    std::string shape;
    for (const std::uint64_t extent : s)
      shape += (shape.empty() ? "" : ", ") + std::to_string(extent);
    planes_ = s.size() == 4 && !colours(s[3]) && colours(s[1]);
    const bool images = s.size() == 3 || (s.size() == 4 && (planes_ || colours(s[3])));
    if (header.type != "|u1" || !images || header.count == 0)
      refuse_file(name_, "images of type uint8 and shape (n, h, w), (n, h, w, c) or (n, c, h, w)",
                  "type " + printable(header.type) + " and shape (" + shape + ")",
                  "convert the array");
    const std::uint64_t height = s[planes_ ? 2 : 1], width = s[planes_ ? 3 : 2];
    const std::uint64_t channels = s.size() == 3 ? 1 : s[planes_ ? 1 : 3];
    constexpr std::uint64_t most = std::uint64_t{1} << 26;
    if (height > most || width > most / height)
      refuse_file(name_, "images of at most " + std::to_string(most) + " pixels",
                  "shape (" + shape + ")", "make the images smaller");
    count_ = static_cast<std::size_t>(s[0]);
    height_ = static_cast<int>(height);
    width_ = static_cast<int>(width);
    channels_ = static_cast<int>(channels);
  }

  random_reader in_;
  std::uint64_t data_{};
  std::string name_;
  std::vector<std::uint16_t> labels_;
  std::vector<std::string> class_names_;
  std::size_t count_{};
  int height_{}, width_{}, channels_{};
  bool planes_{};
};

/// Opens the array of a .npy file; it has no labels.
/// @throws data_error if it is damaged or no array of images
inline array_images open_npy(random_reader in) {
  const npy_header header = read_npy_header(in, 0, in.size(), in.name());
  std::string name = in.name();
  return {std::move(in), header, std::move(name), {}};
}

namespace detail {

/// An array of an archive, whose contents are in memory then: only that checks their sum.
struct npz_array {
  random_reader in;
  npy_header header;
};

/// Bytes of an array of images (ImageNet at 64 x 64 x 3 has 1.6e10) and of one of labels.
inline constexpr std::uint64_t most_npz_images = std::uint64_t{1} << 34;
inline constexpr std::uint64_t most_npz_labels = std::uint64_t{1} << 30;

inline npz_array read_npz_array(const zip_archive& archive, const zip_entry& entry,
                                std::uint64_t most) {
  std::string name = archive.name_of(entry);
  random_reader in(archive.read(entry, most), name);
  npy_header header = read_npy_header(in, 0, in.size(), name);
  return {std::move(in), std::move(header)};
}

/// The first of these arrays that the archive has.
inline const zip_entry* first_of(const zip_archive& archive,
                                 std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const zip_entry* found = archive.find(std::string(name) + ".npy")) return found;
  return nullptr;
}

inline std::vector<std::uint16_t> npz_labels(const npz_array& array, const std::string& name) {
  const npy_header& header = array.header;
  const bool flat = header.shape.size() == 1 || (header.shape.size() == 2 && header.shape[1] == 1);
  if (!flat)
    refuse_file(name, "labels of shape (n,) or (n, 1)", "another shape",
                "save class numbers, for instance one_hot.argmax(1)");
  const std::uint64_t item = npy_item_size(header.type);
  const std::vector<std::uint8_t> bytes = array.in.read(header.data, header.count * item);
  std::vector<std::uint16_t> labels;
  for (std::uint64_t i = 0; i < header.count; ++i) {
    std::uint64_t value = 0;
    for (std::uint64_t b = item; b-- > 0;) value = value << 8 | bytes[i * item + b];
    // What is negative or needs 64 bits is no label either way.
    constexpr std::uint64_t beyond = std::numeric_limits<std::uint16_t>::max();
    const bool negative = header.type[1] == 'i' && value >> (8 * item - 1) != 0;
    const auto shown = static_cast<std::int64_t>(std::min(value, beyond));
    labels.push_back(checked_label(negative ? -1 : shown, name, "image " + std::to_string(i)));
  }
  return labels;
}

}  // namespace detail

/// Opens an .npz archive: the images are `images`, `x_train`, `train_images`, `x`, `data` or
/// `arr_0`, the labels `labels`, `y_train`, `train_labels`, `y` or `arr_1`, in this order; without
/// such labels there are none. @throws data_error if it is damaged or has no such images
inline array_images open_npz(random_reader in) {
  const zip_archive archive(std::move(in));
  const std::string& file = archive.file().name();
  const zip_entry* images =
      detail::first_of(archive, {"images", "x_train", "train_images", "x", "data", "arr_0"});
  if (images == nullptr)
    refuse_file(file, "an array named images (or x_train, train_images, x, data, arr_0)", "none",
                "save it with numpy.savez(file, images=array, labels=classes)");
  std::vector<std::uint16_t> labels;
  if (const zip_entry* entry =
          detail::first_of(archive, {"labels", "y_train", "train_labels", "y", "arr_1"}))
    labels = detail::npz_labels(detail::read_npz_array(archive, *entry, detail::most_npz_labels),
                                archive.name_of(*entry));
  detail::npz_array array = detail::read_npz_array(archive, *images, detail::most_npz_images);
  return {std::move(array.in), array.header, archive.name_of(*images), std::move(labels)};
}

}  // namespace gantry::io
