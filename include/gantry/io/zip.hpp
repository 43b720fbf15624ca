// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Zip archives (PKWARE's APPNOTE.TXT 6.3) of stored and deflated entries, above 4 GiB and 65535
// entries too (zip64). Nothing is believed that another part of the archive contradicts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <zlib.h>

#include "gantry/io/inflate.hpp"
#include "gantry/io/random_reader.hpp"
#include "gantry/io/refuse.hpp"

namespace gantry::inline v0::io {

/// One file in a zip archive.
struct zip_entry {
  std::string name;
  std::uint64_t header{};          ///< place of its local header
  std::uint64_t end{};             ///< its data end here at the latest
  std::uint64_t packed{}, size{};  ///< bytes in the archive, bytes of contents
  std::uint32_t crc{};
  std::uint16_t method{};  ///< 0 stored, 8 deflated
};

/// The entries of an archive. Reading one is const and may be done by several threads.
class zip_archive {
 public:
  /// @throws data_error if this is no zip archive, a damaged one, or one with overlapping entries
  explicit zip_archive(random_reader in) : in_(std::move(in)) {
    read_directory(find_directory());
    check_overlap();
  }

  /// In the order of their names; folders are left out.
  [[nodiscard]] const std::vector<zip_entry>& entries() const { return entries_; }
  [[nodiscard]] const random_reader& file() const { return in_; }
  [[nodiscard]] const zip_entry* find(const std::string& name) const {
    const auto at = std::ranges::lower_bound(entries_, name, {}, &zip_entry::name);
    return at != entries_.end() && at->name == name ? &*at : nullptr;
  }
  /// `archive.zip:entry`, for messages.
  [[nodiscard]] std::string name_of(const zip_entry& entry) const {
    return in_.name() + ":" + printable(entry.name);
  }

  /// Where the data of an entry begin.
  /// @throws data_error if its local header is not what the directory says
  [[nodiscard]] std::uint64_t data_of(const zip_entry& entry) const {
    const std::vector<std::uint8_t> h = in_.read(entry.header, local_size);
    const std::uint64_t name_size = little_endian<2>(h, 26);
    const std::uint64_t data = entry.header + local_size + name_size + little_endian<2>(h, 28);
    const bool same = little_endian<4>(h, 0) == 0x04034b50 && name_size == entry.name.size() &&
                      little_endian<2>(h, 8) == entry.method && data <= entry.end &&
                      entry.packed <= entry.end - data;
    if (!same) refuse(name_of(entry), "a local header as the directory says", "another");
    std::vector<std::uint8_t> name = in_.read(entry.header + local_size, name_size);
    if (!std::ranges::equal(name, entry.name, [](std::uint8_t a, char b) { return char(a) == b; }))
      refuse(name_of(entry), "a local header of this name", "another name");
    return data;
  }

  /// The contents of an entry, for which at most `most` bytes of memory are taken.
  /// @throws data_error if they are larger or damaged
  [[nodiscard]] std::vector<std::uint8_t> read(const zip_entry& entry, std::uint64_t most) const {
    if (entry.size > most)
      refuse_file(name_of(entry), "at most " + std::to_string(most) + " bytes of contents",
                  std::to_string(entry.size), "remove the entry or make it smaller");
    const std::uint64_t data = data_of(entry);
    std::vector<std::uint8_t> out = in_.read(data, entry.packed);
    if (entry.method == deflated) {
      std::vector<std::uint8_t> contents(static_cast<std::size_t>(entry.size));
      if (!inflate_exactly(out, contents)) refuse(name_of(entry), "intact deflate data", "damage");
      out = std::move(contents);
    }
    if (::crc32_z(0, out.data(), out.size()) != entry.crc)
      refuse(name_of(entry), "contents of the check sum in the directory", "another check sum");
    return out;
  }

 private:
  static constexpr std::uint64_t local_size = 30, central_size = 46, end_size = 22;
  static constexpr std::uint64_t locator_size = 20, end64_size = 56;
  static constexpr std::uint16_t stored = 0, deflated = 8;

  struct directory {
    std::uint64_t at{}, size{}, count{};
  };

  [[noreturn]] static void refuse(const std::string& name, const std::string& expected,
                                  const std::string& found) {
    refuse_file(name, expected, found, "copy the archive again or make it anew");
  }

  /// The record that ends the archive: the last one whose comment reaches to the end of the file.
  [[nodiscard]] directory find_directory() const {
    const std::uint64_t window = std::min<std::uint64_t>(in_.size(), end_size + 0xFFFF);
    const std::uint64_t first = in_.size() - window;
    const std::vector<std::uint8_t> tail = in_.read(first, window);
    for (std::size_t i = tail.size() >= end_size ? tail.size() - end_size + 1 : 0; i-- > 0;) {
      if (little_endian<4>(tail, i) != 0x06054b50 ||
          i + end_size + little_endian<2>(tail, i + 20) != tail.size())
        continue;
      const std::span<const std::uint8_t> record = std::span(tail).subspan(i, end_size);
      directory found{little_endian<4>(record, 16), little_endian<4>(record, 12),
                      little_endian<2>(record, 10)};
      std::uint64_t end = first + i;
      if (found.at == 0xFFFFFFFF || found.size == 0xFFFFFFFF || found.count == 0xFFFF)
        read_zip64(found, end);
      else if (little_endian<4>(record, 4) != 0 || little_endian<2>(record, 8) != found.count)
        refuse(in_.name(), "one archive", "a part of several");
      if (found.at > end || found.size != end - found.at || found.count > found.size / central_size)
        refuse(in_.name(),
               "a directory of " + std::to_string(found.count) + " entries before byte " +
                   std::to_string(end),
               std::to_string(found.size) + " bytes at " + std::to_string(found.at));
      return found;
    }
    refuse(in_.name(), "a zip archive", "no end record, or bytes after it");
  }

  /// Replaces what is too large for the end record; `end` becomes where the zip64 record begins. An
  /// archive of exactly 65535 entries may have none.
  void read_zip64(directory& found, std::uint64_t& end) const {
    if (end < locator_size) return;
    const std::vector<std::uint8_t> locator = in_.read(end - locator_size, locator_size);
    if (little_endian<4>(locator, 0) != 0x07064b50) return;
    const std::uint64_t at = little_endian<8>(locator, 8);
    if (at > end - locator_size || end - locator_size - at < end64_size)
      refuse(in_.name(), "a zip64 end record before byte " + std::to_string(end),
             "its place given as " + std::to_string(at));
    const std::vector<std::uint8_t> record = in_.read(at, end64_size);
    if (little_endian<4>(record, 0) != 0x06064b50 ||
        little_endian<8>(record, 24) != little_endian<8>(record, 32))
      refuse(in_.name(), "a zip64 end record", "something else at its place");
    found = {little_endian<8>(record, 48), little_endian<8>(record, 40),
             little_endian<8>(record, 32)};
    end = at;
  }

  void read_directory(const directory& where) {
    const std::vector<std::uint8_t> bytes = in_.read(where.at, where.size);
    std::span<const std::uint8_t> rest = bytes;
    for (std::uint64_t i = 0; i < where.count; ++i) rest = rest.subspan(read_entry(rest, where.at));
    if (!rest.empty())
      refuse(in_.name(), std::to_string(where.count) + " entries", "more bytes in its directory");
    std::ranges::sort(entries_, {}, &zip_entry::name);
    const auto twice = std::ranges::adjacent_find(entries_, {}, &zip_entry::name);
    if (twice != entries_.end())
      refuse(in_.name(), "names that differ", "two entries " + printable(twice->name));
  }

  /// Takes one entry off the directory and returns its length there.
  [[nodiscard]] std::size_t read_entry(std::span<const std::uint8_t> rest,
                                       std::uint64_t directory_at) {
    if (rest.size() < central_size || little_endian<4>(rest, 0) != 0x02014b50)
      refuse(in_.name(), "a directory of entries", "something else in it");
    const std::size_t name_size = little_endian<2>(rest, 28), extra = little_endian<2>(rest, 30);
    const std::size_t size = central_size + name_size + extra + little_endian<2>(rest, 32);
    if (rest.size() < size) refuse(in_.name(), "whole entries in its directory", "a cut one");
    zip_entry e;
    e.name.assign(reinterpret_cast<const char*>(rest.data()) + central_size, name_size);
    e.method = static_cast<std::uint16_t>(little_endian<2>(rest, 10));
    e.crc = static_cast<std::uint32_t>(little_endian<4>(rest, 16));
    e.packed = little_endian<4>(rest, 20);
    e.size = little_endian<4>(rest, 24);
    e.header = little_endian<4>(rest, 42);
    read_zip64_extra(rest.subspan(central_size + name_size, extra), e);
    if ((little_endian<2>(rest, 8) & 1) != 0)
      refuse_file(name_of(e), "an entry without a password", "an encrypted one",
                  "make the archive anew");
    if (e.method != stored && e.method != deflated)
      refuse_file(name_of(e), "a stored or deflated entry",
                  "compression method " + std::to_string(e.method), "make the archive anew");
    if (e.header > directory_at || directory_at - e.header < local_size + name_size ||
        e.packed > directory_at - e.header - local_size - name_size)
      refuse(name_of(e), "data before the directory at byte " + std::to_string(directory_at),
             std::to_string(e.packed) + " bytes from " + std::to_string(e.header));
    // One byte of deflate data yields at most 1032.
    if (e.method == stored ? e.size != e.packed : e.size / 1032 > e.packed)
      refuse(name_of(e), "sizes that fit",
             std::to_string(e.packed) + " bytes for " + std::to_string(e.size) + " of contents");
    e.end = directory_at;
    places_.push_back({e.header, e.header + local_size + name_size + e.packed});
    if (!e.name.ends_with('/')) entries_.push_back(std::move(e));
    return size;
  }

  /// The numbers that did not fit in 32 bits, in the order of the format.
  void read_zip64_extra(std::span<const std::uint8_t> extra, zip_entry& e) const {
    while (extra.size() >= 4) {
      const std::uint64_t id = little_endian<2>(extra, 0), size = little_endian<2>(extra, 2);
      if (size > extra.size() - 4) break;
      std::span<const std::uint8_t> numbers = extra.subspan(4, size);
      extra = extra.subspan(4 + size);
      if (id != 1) continue;
      for (std::uint64_t* number : {&e.size, &e.packed, &e.header}) {
        if (*number != 0xFFFFFFFF || numbers.size() < 8) continue;
        *number = little_endian<8>(numbers, 0);
        numbers = numbers.subspan(8);
      }
    }
  }

  /// Two entries on the same bytes make a small file a large data set ("zip bomb").
  void check_overlap() {
    std::ranges::sort(places_);
    for (std::size_t i = 1; i < places_.size(); ++i)
      if (places_[i].first < places_[i - 1].second)
        refuse(in_.name(), "entries that do not overlap",
               "two at byte " + std::to_string(places_[i].first));
    for (zip_entry& entry : entries_) {
      const auto next = std::ranges::upper_bound(places_, entry.header, {},
                                                 &std::pair<std::uint64_t, std::uint64_t>::first);
      if (next != places_.end()) entry.end = next->first;
    }
    places_ = {};
  }

  random_reader in_;
  std::vector<zip_entry> entries_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> places_;  ///< from, to; while opening
};

}  // namespace gantry::io
