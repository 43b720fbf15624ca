// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Packed files (.gpack): a data set at the extents of a network, mapped into memory instead of
// read. docs/04_data.md has the layout byte by byte; train/packed_writer.hpp writes it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <zlib.h>

#include "gantry/base/error.hpp"
#include "gantry/base/hex.hpp"
#include "gantry/data/byte_reader.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/data/label_index.hpp"

namespace gantry::inline v0::data {

static_assert(
    std::endian::native == std::endian::little,
    "packed files hold little-endian numbers that are mapped as they are; build Gantry for a "
    "little-endian machine");

inline constexpr std::string_view packed_magic{"GPACK\r\n\x1a", 8};
inline constexpr std::uint32_t packed_version = 1;
inline constexpr std::size_t packed_page = 4096;

/// CRC-32 of zlib over bytes that follow those of `crc`; 0 for the first.
inline std::uint32_t packed_crc(std::uint32_t crc, std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint32_t>(::crc32_z(crc, bytes.data(), bytes.size()));
}

/// The first page of a packed file.
struct packed_header {
  using digest = std::array<std::uint8_t, 32>;

  std::uint64_t count{};
  std::uint32_t height{}, width{}, channels{};
  std::uint32_t classes{};     ///< 0: no labels
  std::uint64_t names_size{};  ///< bytes of the class names, a line feed behind each
  digest contents{};           ///< SHA-256 of pixels, then labels
  digest key{};                ///< SHA-256 of the listing and the settings it was made from
  std::uint32_t pixels_crc{}, tail_crc{};

  [[nodiscard]] std::uint64_t pixel_bytes() const {
    return count * height * std::uint64_t{width} * channels;
  }
  /// Where labels and what belongs to them begin.
  [[nodiscard]] std::uint64_t tail() const {
    return packed_page + (pixel_bytes() + packed_page - 1) / packed_page * packed_page;
  }
  [[nodiscard]] std::uint64_t file_size() const {
    return tail() + (classes == 0 ? 0 : 4 * (most_labels + 1) + 5 * count) + names_size;
  }
};

/// Header as bytes and back; used by packed_writer and open_packed.
class packed_page_codec {
 public:
  using page = std::array<std::uint8_t, packed_page>;

  static page encode(const packed_header& h) {
    page to{};
    std::copy(packed_magic.begin(), packed_magic.end(), to.begin());
    put<std::uint32_t>(to, 8, packed_version);
    put<std::uint32_t>(to, 12, packed_page);
    put<std::uint64_t>(to, 16, h.count);
    put<std::uint32_t>(to, 24, h.height);
    put<std::uint32_t>(to, 28, h.width);
    put<std::uint32_t>(to, 32, h.channels);
    put<std::uint32_t>(to, 36, h.classes);
    put<std::uint64_t>(to, 40, h.names_size);
    put<std::uint64_t>(to, 48, h.file_size());
    std::copy(h.contents.begin(), h.contents.end(), to.begin() + 56);
    std::copy(h.key.begin(), h.key.end(), to.begin() + 88);
    put<std::uint32_t>(to, 120, h.pixels_crc);
    put<std::uint32_t>(to, 124, h.tail_crc);
    put<std::uint32_t>(to, crc_at, packed_crc(0, std::span(to).first(crc_at)));
    return to;
  }

  /// @throws data_error that names the file and what is wrong
  static packed_header decode(std::span<const std::uint8_t> bytes,
                              const std::filesystem::path& file) {
    if (bytes.size() < packed_magic.size() ||
        !std::equal(packed_magic.begin(), packed_magic.end(), bytes.begin()))
      refuse(file, "a packed file (it begins with GPACK)", "another one",
             "make one with gantry-data pack");
    if (bytes.size() < packed_page)
      refuse(file, "a packed file with a header of " + std::to_string(packed_page) + " bytes",
             std::to_string(bytes.size()) + " bytes", again);
    if (const auto version = get<std::uint32_t>(bytes, 8); version != packed_version)
      refuse(file, "version " + std::to_string(packed_version) + " of packed files",
             "version " + std::to_string(version), again);
    if (get<std::uint32_t>(bytes, crc_at) != packed_crc(0, bytes.first(crc_at)))
      refuse(file, "a header with its check sum", "another one: it is damaged", again);
    packed_header h{.count = get<std::uint64_t>(bytes, 16),
                    .height = get<std::uint32_t>(bytes, 24),
                    .width = get<std::uint32_t>(bytes, 28),
                    .channels = get<std::uint32_t>(bytes, 32),
                    .classes = get<std::uint32_t>(bytes, 36),
                    .names_size = get<std::uint64_t>(bytes, 40),
                    .pixels_crc = get<std::uint32_t>(bytes, 120),
                    .tail_crc = get<std::uint32_t>(bytes, 124)};
    std::copy_n(bytes.begin() + 56, h.contents.size(), h.contents.begin());
    std::copy_n(bytes.begin() + 88, h.key.size(), h.key.begin());
    // The bounds keep every product of pixel_bytes() and file_size() below 2^63.
    if (h.count < 1 || h.count >= std::uint64_t{1} << 32 || !is_extent(h.height) ||
        !is_extent(h.width) || (h.channels != 1 && h.channels != 3) || h.classes > most_labels ||
        h.names_size > std::uint64_t{1} << 24 || (h.classes == 0 && h.names_size > 0) ||
        get<std::uint32_t>(bytes, 12) != packed_page ||
        get<std::uint64_t>(bytes, 48) != h.file_size())
      refuse(file,
             "1 to 4294967295 images of 1 x 1 to 16384 x 16384 x 1 or 3 and at most 256 classes",
             "a header that says otherwise or contradicts itself", again);
    return h;
  }

  static constexpr const char* again = "make it again with gantry-data pack";

 private:
  static constexpr std::size_t crc_at = packed_page - 4;

  static bool is_extent(std::uint32_t x) { return x >= 1 && x <= 16384; }

  template <class Number>
  static void put(page& to, std::size_t at, Number number) {
    for (std::size_t b = 0; b < sizeof number; ++b)
      to[at + b] = static_cast<std::uint8_t>(number >> (8 * b));
  }
  template <class Number>
  static Number get(std::span<const std::uint8_t> from, std::size_t at) {
    Number number{};
    for (std::size_t b = 0; b < sizeof number; ++b)
      number |= static_cast<Number>(Number{from[at + b]} << (8 * b));
    return number;
  }
};

/// A file's bytes, read-only, without reading them: the system loads what is looked at. Who
/// shortens the file meanwhile ends the program with SIGBUS; packed files are only ever replaced as
/// a whole.
class mapped_file {
 public:
  /// @throws data_error if the file is missing, empty or cannot be mapped
  explicit mapped_file(const std::filesystem::path& file) {
    const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat facts {};
    const bool usable = opened >= 0 && ::fstat(opened, &facts) == 0;
    int reason = usable ? 0 : errno;
    if (usable && S_ISREG(facts.st_mode) && facts.st_size > 0) {
      size_ = static_cast<std::size_t>(facts.st_size);
      bytes_ = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, opened, 0);
      if (bytes_ == MAP_FAILED) reason = errno;
    }
    if (opened >= 0) ::close(opened);
    if (reason != 0)
      refuse(file, "a readable file", std::generic_category().message(reason),
             "check the path and its permissions");
    if (bytes_ == nullptr) refuse(file, "a file with contents", "none", "name another file");
  }
  ~mapped_file() {
    if (bytes_ != nullptr && bytes_ != MAP_FAILED) ::munmap(bytes_, size_);
  }
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  [[nodiscard]] std::span<const std::uint8_t> bytes() const {
    return {static_cast<const std::uint8_t*>(bytes_), size_};
  }

 private:
  void* bytes_ = nullptr;
  std::size_t size_ = 0;
};

/// What open_packed compares with the check sums; the pixels are nearly all of a file.
enum class packed_check { everything, all_but_pixels };

/// An opened packed file. The images are where the file is mapped; copies share it.
struct packed_images {
  packed_header header;
  std::shared_ptr<const image_set> images;
  std::optional<label_index> labels;  ///< if there are any; nothing is scanned for it
  std::vector<std::string> class_names;

  /// SHA-256 of pixels and labels, train::data_sha256 of the set, as 64 hexadecimal digits.
  [[nodiscard]] std::string contents() const { return hex(header.contents); }
  /// SHA-256 of what it was made from, see packed_header.
  [[nodiscard]] std::string key() const { return hex(header.key); }

 private:
  static std::string hex(const packed_header::digest& digest) {
    return hex_of(std::as_bytes(std::span(digest)));
  }
};

namespace detail {

inline std::vector<std::string> packed_names(std::span<const std::uint8_t> bytes,
                                             std::size_t classes,
                                             const std::filesystem::path& file) {
  std::vector<std::string> names(1);
  for (const std::uint8_t byte : bytes)
    if (byte == '\n')
      names.emplace_back();
    else
      names.back() += static_cast<char>(byte);
  if (names.size() != classes + 1 || !names.back().empty())
    refuse(file, std::to_string(classes) + " names of classes", "more or fewer",
           packed_page_codec::again);
  names.pop_back();
  return names;
}

/// The index of the labels, if it says of each sample what its label says.
inline label_index packed_index(std::span<const std::uint8_t> bytes,
                                std::span<const std::uint8_t> labels, std::size_t classes,
                                const std::filesystem::path& file,
                                std::shared_ptr<const void> owner) {
  label_index::table first{};
  std::memcpy(first.data(), bytes.data(), sizeof first);
  const std::span<const std::uint32_t> order{
      reinterpret_cast<const std::uint32_t*>(bytes.data() + sizeof first), labels.size()};
  bool fits = first.front() == 0 && first[classes] == labels.size() &&
              first.back() == labels.size() && std::ranges::is_sorted(first);
  for (std::size_t l = 0; fits && l < classes; ++l)
    for (std::size_t k = first[l]; fits && k < first[l + 1]; ++k)
      fits = order[k] < labels.size() && labels[order[k]] == l &&
             (k == first[l] || order[k - 1] < order[k]);
  if (!fits) refuse(file, "an index that fits its labels", "another one", packed_page_codec::again);
  return {first, order, std::move(owner)};
}

}  // namespace detail

/// Whether a file begins like a packed one.
inline bool is_packed(const std::filesystem::path& file) {
  std::array<char, packed_magic.size()> begin{};
  std::ifstream in(file, std::ios::binary);
  return in.read(begin.data(), begin.size()) &&
         std::string_view(begin.data(), begin.size()) == packed_magic;
}

/// Maps a packed file. Labels and header are always checked, the pixels if `check` says so.
/// @throws data_error if it is missing, damaged, cut or of another version
inline packed_images open_packed(const std::filesystem::path& file,
                                 packed_check check = packed_check::everything) {
  const auto mapped = std::make_shared<const mapped_file>(file);
  const std::span<const std::uint8_t> all = mapped->bytes();
  const packed_header h = packed_page_codec::decode(all, file);
  if (all.size() != h.file_size())
    refuse(file, std::to_string(h.file_size()) + " bytes as its header says",
           std::to_string(all.size()), packed_page_codec::again);
  const std::span<const std::uint8_t> pixels = all.subspan(packed_page, h.pixel_bytes());
  const std::span<const std::uint8_t> tail = all.subspan(h.tail());
  if (packed_crc(0, tail) != h.tail_crc ||
      (check == packed_check::everything && packed_crc(0, pixels) != h.pixels_crc))
    refuse(file, "contents with the check sum of its header", "others: they are damaged",
           packed_page_codec::again);
  image_set set{static_cast<int>(h.height),
                static_cast<int>(h.width),
                static_cast<int>(h.channels),
                {},
                {},
                file.stem().string(),
                {file},
                {mapped, pixels}};
  packed_images opened{h, {}, {}, {}};
  if (h.classes > 0) {
    const std::size_t index_size = 4 * (most_labels + 1 + static_cast<std::size_t>(h.count));
    const std::span<const std::uint8_t> labels =
        tail.subspan(index_size, static_cast<std::size_t>(h.count));
    opened.labels = detail::packed_index(tail, labels, h.classes, file, mapped);
    opened.class_names =
        detail::packed_names(tail.subspan(index_size + labels.size()), h.classes, file);
    set.labels.assign(labels.begin(), labels.end());
  }
  opened.images = std::make_shared<const image_set>(std::move(set));
  return opened;
}

}  // namespace gantry::data
