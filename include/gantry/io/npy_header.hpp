// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What stands before the numbers of a .npy file (formats 1.0 to 3.0, numpy/lib/format.py): a Python
// dictionary of type, order and shape, of which only the literals that NumPy writes are read.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/io/random_reader.hpp"
#include "gantry/io/refuse.hpp"

namespace gantry::inline v0::io {

/// An array in a file or in a part of one, such as a stored entry of an .npz archive.
struct npy_header {
  std::string type;                  ///< "|u1", "<i8", ...
  std::vector<std::uint64_t> shape;  ///< row-major
  std::uint64_t data{};              ///< place of the first number in the file
  std::uint64_t count{};             ///< product of the shape
};

/// Reads the dictionary; used through read_npy_header().
class npy_dictionary {
 public:
  npy_dictionary(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  npy_header read() {
    npy_header header;
    std::array<bool, 3> seen{};
    take('{');
    while (peek() != '}') {
      const std::string key = string();
      take(':');
      if (key == "descr" && !std::exchange(seen[0], true)) {
        if (peek() == '[') refuse("an array of numbers", "one of records");
        header.type = string();
      } else if (key == "fortran_order" && !std::exchange(seen[1], true)) {
        if (boolean()) refuse("an array in C order", "one in Fortran order");
      } else if (key == "shape" && !std::exchange(seen[2], true)) {
        header.shape = shape();
      } else {
        refuse("descr, fortran_order and shape once each", "\"" + printable(key) + "\"");
      }
      if (peek() != '}') take(',');
    }
    take('}');
    if (peek() != '\0') refuse("the end of its header", "further text");
    if (!(seen[0] && seen[1] && seen[2]))
      refuse("descr, fortran_order and shape once each", "fewer");
    return header;
  }

 private:
  [[noreturn]] void refuse(const std::string& expected, const std::string& found) const {
    refuse_file(name_, expected, found,
                "save it again with numpy.save(file, numpy.ascontiguousarray(array))");
  }
  /// Next character that is no blank, 0 at the end.
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void take(char c) {
    if (peek() != c || at_ == text_.size())
      refuse(std::string("'") + c + "' in its header", "another character");
    ++at_;
  }
  std::string string() {
    const char quote = peek();
    const std::size_t end = quote == '\'' || quote == '"' ? text_.find(quote, at_ + 1) : text_.npos;
    if (end == text_.npos) refuse("a string in its header", "something else");
    std::string result(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return result;
  }
  bool boolean() {
    (void)peek();
    for (const auto& [word, meaning] :
         {std::pair<std::string_view, bool>{"True", true}, {"False", false}}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return meaning;
    }
    refuse("True or False in its header", "something else");
  }
  std::vector<std::uint64_t> shape() {
    std::vector<std::uint64_t> extents;
    take('(');
    while (peek() != ')') {
      std::uint64_t extent = 0;
      const auto [end, failed] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), extent);
      if (failed != std::errc()) refuse("extents in its shape", "something else");
      at_ = static_cast<std::size_t>(end - text_.data());
      extents.push_back(extent);
      if (extents.size() > 32) refuse("at most 32 extents", "more");
      if (peek() != ')') take(',');
    }
    take(')');
    return extents;
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_{};
};

/// Bytes per number of a NumPy type "|u1", "<f4", ...; 0 for one that is not read here: objects,
/// which are pickles, texts, and numbers whose first byte is the largest.
inline std::uint64_t npy_item_size(std::string_view type) {
  constexpr std::string_view known[] = {"|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8"};
  const bool found = std::ranges::find(known, type) != std::end(known);
  return found ? static_cast<std::uint64_t>(type[2] - '0') : 0;
}

/// Reads the header of the array that takes the `size` bytes from `at` on, and checks that the rest
/// of them are its numbers. `name` stands in messages.
/// @throws data_error if it is no array, one of another type than integers, or of another length
inline npy_header read_npy_header(const random_reader& in, std::uint64_t at, std::uint64_t size,
                                  const std::string& name) {
  const std::string advice = "save it again with numpy.save()";
  const std::vector<std::uint8_t> start = in.read(at, std::min<std::uint64_t>(size, 12));
  const std::uint8_t major = start.size() == 12 ? start[6] : 0;
  constexpr std::array<std::uint8_t, 6> magic{0x93, 'N', 'U', 'M', 'P', 'Y'};
  if (major < 1 || major > 3 || !std::ranges::equal(magic, std::span(start).first(magic.size())))
    refuse_file(name, "a NumPy array (.npy 1.0 to 3.0)", "something else", advice);
  const std::uint64_t first = major == 1 ? 10 : 12;
  const std::uint64_t length = major == 1 ? little_endian<2>(start, 8) : little_endian<4>(start, 8);
  constexpr std::uint64_t longest = 1 << 16;
  if (length > longest || length > size - first)
    refuse_file(
        name,
        "a NumPy header of at most " + std::to_string(std::min(longest, size - first)) + " bytes",
        "one of " + std::to_string(length), advice);
  const std::vector<std::uint8_t> text = in.read(at + first, length);
  npy_header header =
      npy_dictionary({reinterpret_cast<const char*>(text.data()), text.size()}, name).read();
  header.data = at + first + length;
  const std::uint64_t item = npy_item_size(header.type);
  if (item == 0)
    refuse_file(name, "whole numbers (uint8 for images)", "type " + printable(header.type),
                "convert the array, for instance with array.astype(numpy.uint8)");
  header.count = 1;
  for (const std::uint64_t extent : header.shape) {
    if (extent != 0 && header.count > std::numeric_limits<std::uint64_t>::max() / 8 / extent)
      refuse_file(name, "a shape of fewer than 2^61 numbers", "a larger one", advice);
    header.count *= extent;
  }
  if (header.count * item != size - first - length)
    refuse_file(name, std::to_string(header.count * item) + " bytes after the header",
                std::to_string(size - first - length), "copy it again or save it anew");
  return header;
}

}  // namespace gantry::io
