// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Tar archives (POSIX.1-2001 pax interchange format, ustar, and GNU's long names), not compressed.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/io/random_reader.hpp"
#include "gantry/io/refuse.hpp"

namespace gantry::inline v0::io {

/// One file in a tar archive.
struct tar_entry {
  std::string name;
  std::uint64_t at{}, size{};  ///< place and length of its contents
};

/// Walks through the headers of an archive; used through read_tar().
class tar_walker {
 public:
  explicit tar_walker(const random_reader& in) : in_(in) {}

  std::vector<tar_entry> walk() {
    for (;;) {
      std::array<std::uint8_t, block> header{};
      if (!in_.holds(at_, block)) refuse("a block of zeros at the end", "the end of the file");
      in_.read(at_, header);
      if (std::ranges::all_of(header, [](std::uint8_t b) { return b == 0; })) break;
      take(header);
    }
    check_rest();
    return std::move(entries_);
  }

 private:
  static constexpr std::uint64_t block = 512;
  using header_block = std::array<std::uint8_t, block>;

  [[noreturn]] void refuse(const std::string& expected, const std::string& found) const {
    refuse_file(in_.name(), expected + " at byte " + std::to_string(at_), found,
                "copy the archive again or make it anew");
  }

  void take(const header_block& header) {
    check_sum(header);
    const std::uint64_t size =
        next_size_ ? *std::exchange(next_size_, std::nullopt) : number(header, 124, 12);
    const std::uint64_t contents = at_ + block;
    if (!in_.holds(contents, size))
      refuse("an entry of " + std::to_string(size) + " bytes", "the end of the file");
    switch (const char type = static_cast<char>(header[156]); type) {
      case 'x':
        read_pax(text_at(contents, size));
        break;
      case 'L':
        next_name_ = text_at(contents, size);
        next_name_.resize(std::min(next_name_.size(), next_name_.find('\0')));
        break;
      case '0':
      case '7':
      case '\0':
        entries_.push_back({next_name_.empty() ? name_of(header) : next_name_, contents, size});
        [[fallthrough]];
      default:  // folders, links and devices hold no images
        if (type != 'g' && type != 'K') next_name_.clear();
    }
    // Cannot overflow: the file holds contents + size.
    at_ = contents + size / block * block + (size % block == 0 ? 0 : block);
  }

  /// The sum of all bytes, with blanks in place of itself; it tells a header from anything else.
  void check_sum(const header_block& header) const {
    constexpr std::size_t from = 148, to = 156;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < header.size(); ++i)
      sum += i >= from && i < to ? std::uint8_t{' '} : header[i];
    if (number(header, from, to - from) != sum)
      refuse("a tar header whose check sum is " + std::to_string(sum), "another check sum");
  }

  /// Octal digits, ended by a blank or a zero; or 0x80 and a big-endian number, as GNU has it.
  [[nodiscard]] std::uint64_t number(const header_block& header, std::size_t from,
                                     std::size_t size) const {
    const std::span<const std::uint8_t> field = std::span(header).subspan(from, size);
    if (field[0] == 0x80) {
      std::uint64_t value = 0;
      for (const std::uint8_t b : field.subspan(1)) {
        if (value >> 56 != 0) refuse("a size of at most 64 bits", "a larger one");
        value = value << 8 | b;
      }
      return value;
    }
    std::uint64_t value = 0;
    std::size_t i = 0;
    while (i < size && field[i] == ' ') ++i;
    const std::size_t first = i;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; ++i) value = value * 8 + field[i] - '0';
    if (i == first || (i < size && field[i] != ' ' && field[i] != 0))
      refuse("octal numbers in a tar header", "something else");
    return value;
  }

  /// A pax or GNU header's contents. @throws data_error above 1 MiB
  [[nodiscard]] std::string text_at(std::uint64_t at, std::uint64_t size) const {
    constexpr std::uint64_t most = std::uint64_t{1} << 20;
    if (size > most) refuse("a name of at most 1 MiB", std::to_string(size) + " bytes");
    const std::vector<std::uint8_t> bytes = in_.read(at, size);
    return {bytes.begin(), bytes.end()};
  }

  /// Records "<length> <key>=<value>\n"; only the name and the size of the next entry matter here.
  void read_pax(std::string_view text) {
    while (!text.empty()) {
      std::size_t length = 0;
      const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), length);
      const auto digits = static_cast<std::size_t>(end - text.data());
      if (failed != std::errc() || length > text.size() || length < digits + 3 ||
          text[digits] != ' ' || text[length - 1] != '\n')
        refuse("records in a pax header", "something else");
      const std::string_view record = text.substr(digits + 1, length - digits - 2);
      const std::string_view value =
          record.substr(std::min(record.find('='), record.size() - 1) + 1);
      if (record.starts_with("path=")) next_name_ = value;
      if (record.starts_with("size=")) {
        std::uint64_t size = 0;
        const auto [last, bad] = std::from_chars(value.data(), value.data() + value.size(), size);
        if (bad != std::errc() || last != value.data() + value.size())
          refuse("a size in a pax header", printable(value));
        next_size_ = size;
      }
      text.remove_prefix(length);
    }
  }

  [[nodiscard]] static std::string field_text(std::span<const std::uint8_t> field) {
    return {field.begin(), std::ranges::find(field, std::uint8_t{0})};
  }
  [[nodiscard]] static std::string name_of(const header_block& header) {
    const std::span<const std::uint8_t> all(header);
    const std::string name = field_text(all.first(100));
    const bool ustar = field_text(all.subspan(257, 6)) == "ustar";  // GNU's says "ustar  "
    const std::string prefix = ustar ? field_text(all.subspan(345, 155)) : "";
    return prefix.empty() ? name : prefix + '/' + name;
  }

  /// tar pads with zeros; anything else is an archive behind an archive, which readers differ
  /// about.
  void check_rest() {
    std::vector<std::uint8_t> piece;
    for (; at_ < in_.size(); at_ += piece.size()) {
      piece = in_.read(at_, std::min<std::uint64_t>(in_.size() - at_, 1 << 16));
      if (!std::ranges::all_of(piece, [](std::uint8_t b) { return b == 0; }))
        refuse("only zeros after the end", "other bytes");
    }
  }

  const random_reader& in_;
  std::uint64_t at_{};
  std::vector<tar_entry> entries_;
  std::string next_name_;  ///< what a pax or GNU header says of the entry after it
  std::optional<std::uint64_t> next_size_;
};

/// The files of a tar archive in its order; folders and links are left out.
/// @throws data_error if this is no tar archive, a compressed or a damaged one
inline std::vector<tar_entry> read_tar(const random_reader& in) { return tar_walker(in).walk(); }

}  // namespace gantry::io
