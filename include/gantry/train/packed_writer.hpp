// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <sys/types.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/data/label_index.hpp"
#include "gantry/data/packed.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/sha256.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0::train {

/// Writes a packed file image by image; memory is that of the labels. The file appears under its
/// name when `finish` returns and not before: a temporary file beside it, fsync, rename, fsync of
/// the folder. One that is not finished removes itself.
class packed_writer {
 public:
  /// `classes` 0: no labels. @throws usage_error for extents or classes that a packed file cannot
  /// have, error if the file cannot be written
  packed_writer(std::filesystem::path target, hwc image, std::size_t classes)
      : target_(std::move(target)) {
    expects(
        image.h > 0 && image.w > 0 && image.h <= 16384 && image.w <= 16384 &&
            (image.c == 1 || image.c == 3) && classes <= data::most_labels,
        "a packed file needs images of 1 x 1 to 16384 x 16384 x 1 or 3 and at most 256 classes; "
        "choose other extents");
    header_.height = static_cast<std::uint32_t>(image.h);
    header_.width = static_cast<std::uint32_t>(image.w);
    header_.channels = static_cast<std::uint32_t>(image.c);
    header_.classes = static_cast<std::uint32_t>(classes);
    open();
    put(data::packed_page_codec::page{});  // its place; the header comes last
  }
  packed_writer(const packed_writer&) = delete;
  packed_writer& operator=(const packed_writer&) = delete;
  ~packed_writer() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }

  /// @throws usage_error for another number of pixels or a label beyond the classes, error if
  /// nothing more can be written
  void append(std::span<const std::uint8_t> pixels, std::uint8_t label = 0) {
    expects(pixels.size() == std::size_t{header_.height} * header_.width * header_.channels,
            "a packed file needs images of one size; resize them first");
    expects(header_.classes == 0 ? label == 0 : label < header_.classes,
            "a packed file needs labels below its number of classes; correct them");
    put(pixels);
    header_.pixels_crc = data::packed_crc(header_.pixels_crc, pixels);
    contents_.update(std::as_bytes(pixels));
    if (header_.classes > 0) labels_.push_back(label);
    ++header_.count;
  }

  /// Completes the file. `names` has one for each class; `key` is kept in the header.
  /// @throws usage_error for no images or another number of names, error if it cannot be written
  /// @returns SHA-256 of pixels and labels
  std::string finish(std::span<const std::string> names, const io::sha256::digest_type& key) {
    expects(header_.count > 0 && header_.count < std::uint64_t{1} << 32,
            "a packed file needs 1 to 4294967295 images; append some");
    expects(names.size() == header_.classes,
            "a packed file needs a name for each of its classes; give as many");
    contents_.update(std::as_bytes(std::span(labels_)));
    copy(contents_.digest(), header_.contents);
    copy(key, header_.key);
    const std::uint64_t padding = header_.tail() - data::packed_page - header_.pixel_bytes();
    put(std::vector<std::uint8_t>(static_cast<std::size_t>(padding)));
    if (header_.classes > 0) put_tail(names);
    flush();
    const auto page = data::packed_page_codec::encode(header_);
    if (::lseek(handle_.get(), 0, SEEK_SET) != 0 ||
        !io::write_all(handle_.get(), std::as_bytes(std::span(page))) ||
        ::fsync(handle_.get()) != 0 || !handle_.close() ||
        ::rename(temporary_.c_str(), target_.c_str()) != 0)
      refuse();
    temporary_.clear();
    if (!io::sync_folder(target_.has_parent_path() ? target_.parent_path() : ".")) refuse();
    return contents_.hex();
  }

 private:
  static constexpr std::size_t buffer_size = std::size_t{1} << 20;

  static void copy(const io::sha256::digest_type& from, data::packed_header::digest& to) {
    std::ranges::transform(from, to.begin(),
                           [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  }

  [[noreturn]] void refuse() const {
    throw error("cannot write " + target_.string() + " (" + io::reason_of(errno) +
                    "); check the folder, its permissions and the free space",
                exit_code::refused);
  }

  void open() {
    static std::atomic<unsigned> counter{0};
    do {
      temporary_ =
          target_.string() + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
      handle_ = io::file_handle(
          ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    } while (!handle_.is_open() && errno == EEXIST);
    if (handle_.is_open()) return;
    temporary_.clear();
    refuse();
  }

  void put(std::span<const std::uint8_t> bytes) {
    if (buffer_.size() + bytes.size() > buffer_size) flush();
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }

  void flush() {
    if (!io::write_all(handle_.get(), std::as_bytes(std::span(buffer_)))) refuse();
    buffer_.clear();
  }

  void put_tail_part(std::span<const std::uint8_t> bytes) {
    header_.tail_crc = data::packed_crc(header_.tail_crc, bytes);
    put(bytes);
  }

  void put_numbers(std::span<const std::uint32_t> numbers) {
    std::vector<std::uint8_t> bytes;
    bytes.reserve(4 * numbers.size());
    for (const std::uint32_t number : numbers)
      for (int shift = 0; shift < 32; shift += 8)
        bytes.push_back(static_cast<std::uint8_t>(number >> shift));
    put_tail_part(bytes);
  }

  void put_tail(std::span<const std::string> names) {
    const data::label_index index(labels_);
    put_numbers(index.first());
    put_numbers(index.order());
    put_tail_part(labels_);
    std::vector<std::uint8_t> text;
    for (const std::string& name : names) {
      for (const char c : name) {
        const auto byte = static_cast<std::uint8_t>(c);
        text.push_back(byte < 0x20 || byte == 0x7f ? std::uint8_t{' '} : byte);
      }
      text.push_back('\n');
    }
    expects(text.size() <= std::size_t{1} << 24,
            "a packed file has room for 16 MiB of class names; shorten them");
    header_.names_size = text.size();
    put_tail_part(text);
  }

  std::filesystem::path target_;
  std::string temporary_;  ///< empty when there is none
  io::file_handle handle_;
  data::packed_header header_;
  io::sha256 contents_;
  std::vector<std::uint8_t> labels_, buffer_;
};

}  // namespace gantry::train
