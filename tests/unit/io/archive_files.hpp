// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Archives, arrays and images, good and bad, for the tests of the readers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include <zlib.h>

#include "gantry/base/error.hpp"
#include "gantry/concepts/image_source.hpp"
#include "gantry/io/image_codec.hpp"

#include "scratch.hpp"
#include "support/deflated.hpp"

namespace gantry::inline v0::io::test {

using bytes = std::vector<std::uint8_t>;

inline bytes bytes_of(const std::string& text) { return {text.begin(), text.end()}; }
inline bytes operator+(bytes a, const bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
/// The first n bytes.
inline bytes cut(const bytes& b, std::size_t n) {
  return {b.begin(), b.begin() + static_cast<std::ptrdiff_t>(n)};
}
inline bytes number(std::uint64_t value, int size) {
  bytes out;
  for (int i = 0; i < size; ++i, value >>= 8) out.push_back(static_cast<std::uint8_t>(value));
  return out;
}
inline void put(bytes& to, std::size_t at, const bytes& part) {
  for (std::size_t i = 0; i < part.size(); ++i) to.at(at + i) = part[i];
}

inline void write(const std::filesystem::path& file, const bytes& contents) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(contents.data()),
             static_cast<std::streamsize>(contents.size()));
}

/// "PNG" files that this program decodes without a library: the magic number and then one pixel.
inline bytes fake_png(std::uint8_t pixel) {
  return {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n', pixel};
}
inline image_codecs fake_codecs() {
  return {.png = [](std::span<const std::uint8_t> file, const std::string& name, std::int64_t,
                    image8& out) {
    if (file.size() != 9) refuse_file(name, "9 bytes", "others", "correct it");
    out = {1, 1, 1, {file[8]}};
  }};
}

/// Pixel of image i of a source of such files.
inline int pixel(const ImageSource auto& source, std::size_t i) {
  image8 out;
  source.decode(i, out);
  return out.pixels.at(0);
}
inline std::vector<int> labels_of(const ImageSource auto& source) {
  std::vector<int> labels;
  for (std::size_t i = 0; i < source.size(); ++i) labels.push_back(source.label(i));
  return labels;
}

/// True if the text is one sentence of the usual form that has all the parts.
inline bool says(const std::string& text, std::initializer_list<const char*> parts) {
  bool all = contains(text, ": expected ") && contains(text, ", found ") && contains(text, "; ") &&
             !contains(text, "\n");
  for (const char* part : parts) all = all && contains(text, part);
  return all;
}

struct zip_file {
  std::string name;
  bytes contents;
  bool deflated = false;
};

inline bytes raw_deflate(const bytes& contents) { return gantry::test::deflated(contents, 9, -15); }

/// A zip archive; with `zip64` in the form for more than 4 GiB. Its directory begins at
/// `directory_at`.
struct zip_maker {
  bool zip64 = false;
  std::size_t directory_at{};

  bytes make(const std::vector<zip_file>& files) {
    bytes out, directory;
    for (const zip_file& f : files) {
      const bytes data = f.deflated ? raw_deflate(f.contents) : f.contents;
      const auto crc = crc32_z(0, f.contents.data(), f.contents.size());
      const std::uint64_t packed = data.size(), size = f.contents.size(), header = out.size();
      const auto shown = [&](std::uint64_t n) { return number(zip64 ? 0xFFFFFFFF : n, 4); };
      const bytes middle = number(f.deflated ? 8 : 0, 2) + number(0, 4) + number(crc, 4) +
                           shown(packed) + shown(size) + number(f.name.size(), 2);
      const bytes extra =
          number(1, 2) + number(24, 2) + number(size, 8) + number(packed, 8) + number(header, 8);
      out = out + number(0x04034b50, 4) + number(20, 2) + number(0, 2) + middle + number(0, 2) +
            bytes_of(f.name) + data;
      directory = directory + number(0x02014b50, 4) + number(20, 2) + number(20, 2) + number(0, 2) +
                  middle + number(zip64 ? extra.size() : 0, 2) + number(0, 2) + number(0, 8) +
                  shown(header) + bytes_of(f.name) + (zip64 ? extra : bytes{});
    }
    directory_at = out.size();
    out = out + directory;
    const std::size_t count = files.size(), end = out.size();
    if (zip64)
      out = out + number(0x06064b50, 4) + number(44, 8) + number(45, 2) + number(45, 2) +
            number(0, 8) + number(count, 8) + number(count, 8) + number(directory.size(), 8) +
            number(directory_at, 8) + number(0x07064b50, 4) + number(0, 4) + number(end, 8) +
            number(1, 4);
    const std::uint64_t n = zip64 ? 0xFFFF : count;
    return out + number(0x06054b50, 4) + number(0, 4) + number(n, 2) + number(n, 2) +
           number(zip64 ? 0xFFFFFFFF : directory.size(), 4) +
           number(zip64 ? 0xFFFFFFFF : directory_at, 4) + number(0, 2);
  }
};

inline bytes make_zip(const std::vector<zip_file>& files) { return zip_maker{}.make(files); }

/// Header and contents of one tar entry, padded; `sum` is added to the right check sum.
inline bytes tar_entry_of(const std::string& name, const bytes& contents, char type = '0',
                          int sum = 0) {
  const auto octal = [](std::uint64_t value, int digits) {
    std::string text(static_cast<std::size_t>(digits), '0');
    for (std::size_t i = text.size(); i-- > 0; value >>= 3) text[i] = char('0' + (value & 7));
    return bytes_of(text);
  };
  bytes header(512);
  put(header, 0, bytes_of(name));
  put(header, 124, octal(contents.size(), 11));
  put(header, 148, bytes(8, ' '));
  header[156] = static_cast<std::uint8_t>(type);
  put(header, 257, bytes_of("ustar"));
  put(header, 263, bytes_of("00"));
  int total = sum;
  for (const std::uint8_t b : header) total += b;
  put(header, 148, octal(static_cast<std::uint64_t>(total), 6) + bytes{0, ' '});
  return header + contents + bytes((512 - contents.size() % 512) % 512);
}
inline bytes tar_end() { return bytes(1024); }

/// A .npy file of version 1.0.
inline bytes make_npy(const std::string& dictionary, const bytes& data) {
  const std::string text = dictionary + "\n";
  return bytes_of("\x93NUMPY") + bytes{1, 0} + number(text.size(), 2) + bytes_of(text) + data;
}
inline bytes npy_of(const std::string& type, const std::string& shape, const bytes& data) {
  return make_npy("{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }",
                  data);
}

}  // namespace gantry::io::test
