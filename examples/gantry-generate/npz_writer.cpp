// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <zlib.h>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"

#include "npz_writer.hpp"

namespace {

/// Little-endian numbers, one behind the other.
class packed {
 public:
  void put16(std::uint32_t x) { put(x, 2); }
  void put32(std::size_t x) { put(x, 4); }
  void put(std::span<const std::byte> from) {
    bytes_.insert(bytes_.end(), from.begin(), from.end());
  }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] std::vector<std::byte>& bytes() { return bytes_; }

 private:
  void put(std::size_t x, int count) {
    for (int i = 0; i < count; ++i) bytes_.push_back(static_cast<std::byte>(x >> (8 * i) & 0xFF));
  }
  std::vector<std::byte> bytes_;
};

/// What the local and the central header of a member have in common: stored, of 1 January 1980.
void put_description(packed& to, const std::string& name, std::span<const std::byte> content) {
  constexpr std::uint32_t version = 20, first_day = 0x21;
  to.put16(version);
  to.put16(0);
  to.put16(0);
  to.put16(0);
  to.put16(first_day);
  to.put32(::crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
  to.put32(content.size());
  to.put32(content.size());
  to.put16(static_cast<std::uint32_t>(name.size()));
  to.put16(0);
}

}  // namespace

void write_npz(const std::filesystem::path& path, const npz_members& members) {
  constexpr std::size_t version = 20, overhead = 256;
  std::size_t total = overhead;
  for (const auto& [name, content] : members) total += content.size() + overhead + 2 * name.size();
  gantry::expects(total < std::numeric_limits<std::uint32_t>::max(),
                  "an .npz file of less than 4 GiB was expected and these images need more; lower "
                  "--count");
  packed file, directory;
  file.bytes().reserve(total);
  for (const auto& [name, content] : members) {
    const std::size_t begin = file.size();
    file.put32(0x04034b50);
    put_description(file, name, content);
    file.put(gantry::io::text_bytes(name));
    file.put(content);
    directory.put32(0x02014b50);
    directory.put16(version);
    put_description(directory, name, content);
    directory.put16(0);
    directory.put32(0);
    directory.put32(0);
    directory.put32(begin);
    directory.put(gantry::io::text_bytes(name));
  }
  const std::size_t begin = file.size();
  file.put(directory.bytes());
  file.put32(0x06054b50);
  file.put32(0);
  file.put16(static_cast<std::uint32_t>(members.size()));
  file.put16(static_cast<std::uint32_t>(members.size()));
  file.put32(directory.size());
  file.put32(begin);
  file.put16(0);
  gantry::io::write_file_atomic(path, file.bytes());
}
