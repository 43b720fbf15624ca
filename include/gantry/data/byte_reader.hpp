// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <zlib.h>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::data {

/// Refuses a file or directory in one sentence. @throws data_error, always
[[noreturn]] inline void refuse(const std::filesystem::path& path, const std::string& expected,
                                const std::string& found, const std::string& advice) {
  throw data_error(path.string() + ": expected " + expected + ", found " + found + "; " + advice);
}

/// Contents of a file from front to back, inflated on the way if the file is gzip (RFC 1952).
///
/// Gzip is recognised by its first two bytes, not by the name. Inflates by hand instead of through
/// gzread, which takes bytes after the last member, damaged or not, for a normal end.
class byte_reader {
 public:
  /// @throws data_error if the file does not exist or cannot be opened
  explicit byte_reader(std::filesystem::path file) : file_(std::move(file)) {
    std::error_code failed;
    if (std::filesystem::is_directory(file_, failed))
      refuse(file_, "a file", "a directory", "name a file in it");
    on_disk_ = std::filesystem::file_size(file_, failed);
    if (!failed) in_.open(file_, std::ios::binary);
    if (failed || !in_)
      refuse(file_, "a readable file", failed ? failed.message() : "no permission to open it",
             "check the path and its permissions");
    find_gzip();
  }
  /// Contents that are in memory, and stay there; `name` stands in messages.
  byte_reader(std::span<const std::uint8_t> contents, std::filesystem::path name)
      : file_(std::move(name)), on_disk_(contents.size()), in_memory_(true), memory_(contents) {
    find_gzip();
  }
  byte_reader(const byte_reader&) = delete;
  byte_reader& operator=(const byte_reader&) = delete;

  [[nodiscard]] const std::filesystem::path& file() const { return file_; }

  /// No more than this many bytes can come out: one byte of deflate data yields at most 1032.
  [[nodiscard]] std::uint64_t upper_bound() const { return gzip_ ? 1032 * on_disk_ : on_disk_; }

  /// Fills `out` as far as the contents go and returns how much that was; less than asked for means
  /// that the end was reached and, for gzip, that check sum and length were right.
  /// @throws data_error if the gzip data are truncated, damaged or followed by other bytes
  std::size_t read(std::span<std::uint8_t> out) {
    std::size_t done = 0;
    while (done < out.size()) {
      if (stream_.z.avail_in == 0 && !refill()) {
        if (gzip_ && !member_ended_)
          refuse(file_, "a complete gzip file",
                 "its end after " + std::to_string(produced_ + done) + " bytes of contents",
                 "download it again");
        break;
      }
      // A span can be longer than zlib's 32-bit counter.
      const std::span<std::uint8_t> part = out.subspan(done, std::min(out.size() - done, step));
      done += gzip_ ? inflate_into(part) : copy_into(part);
    }
    produced_ += done;
    return done;
  }

 private:
  static constexpr std::size_t step = std::size_t{1} << 20;

  struct inflater {
    z_stream z{};
    inflater() {
      constexpr int gzip_only = 15 + 16;  // largest window, gzip header and trailer
      if (inflateInit2(&z, gzip_only) != Z_OK) throw std::bad_alloc();
    }
    ~inflater() { inflateEnd(&z); }
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;
  };

  void find_gzip() {
    refill();
    const Bytef* first = stream_.z.next_in;
    gzip_ = stream_.z.avail_in >= 2 && first[0] == 0x1f && first[1] == 0x8b;
  }

  bool refill() {
    if (in_memory_) {
      const std::span<const std::uint8_t> next = memory_.first(std::min(memory_.size(), step));
      memory_ = memory_.subspan(next.size());
      stream_.z.next_in = const_cast<Bytef*>(next.data());
      stream_.z.avail_in = static_cast<uInt>(next.size());
      return !next.empty();
    }
    in_.read(reinterpret_cast<char*>(input_.data()), static_cast<std::streamsize>(input_.size()));
    if (in_.bad())
      refuse(file_, "a readable file", "a read error", "check the disk and copy the file again");
    stream_.z.next_in = input_.data();
    stream_.z.avail_in = static_cast<uInt>(in_.gcount());
    return stream_.z.avail_in > 0;
  }

  std::size_t copy_into(std::span<std::uint8_t> out) {
    const std::size_t n = std::min<std::size_t>(out.size(), stream_.z.avail_in);
    std::copy_n(stream_.z.next_in, n, out.begin());
    stream_.z.next_in += n;
    stream_.z.avail_in -= static_cast<uInt>(n);
    return n;
  }

  std::size_t inflate_into(std::span<std::uint8_t> out) {
    if (member_ended_) {
      if (*stream_.z.next_in != 0x1f)
        refuse(file_, "the end of the file after the gzip data", "further bytes",
               "download it again");
      inflateReset(&stream_.z);  // RFC 1952 allows members to follow one another
      member_ended_ = false;
    }
    stream_.z.next_out = out.data();
    stream_.z.avail_out = static_cast<uInt>(out.size());
    const int status = inflate(&stream_.z, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
      refuse(file_, "intact gzip data",
             std::string("damage (") + (stream_.z.msg != nullptr ? stream_.z.msg : "unknown") + ")",
             "download it again");
    member_ended_ = status == Z_STREAM_END;
    return out.size() - stream_.z.avail_out;
  }

  std::filesystem::path file_;
  std::ifstream in_;
  std::uint64_t on_disk_{};
  bool in_memory_{};
  std::span<const std::uint8_t> memory_;  ///< what has not been taken yet
  std::uint64_t produced_{};
  inflater stream_;
  std::array<std::uint8_t, 1 << 16> input_{};
  bool gzip_{};
  bool member_ended_{};
};

}  // namespace gantry::data
