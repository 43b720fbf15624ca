// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Bytes at any place of a file, for archives whose entries are wanted in another order than theirs.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "gantry/io/file.hpp"
#include "gantry/io/refuse.hpp"

namespace gantry::inline v0::io {

/// A file, or its contents in memory, to read from by several threads at once.
///
/// Not a mapping: a file that is cut while it is read gives a sentence here, a signal there.
class random_reader {
 public:
  /// @throws data_error if this is no file that can be opened
  explicit random_reader(const std::filesystem::path& file) : name_(file.string()) {
    // Without O_NONBLOCK a pipe of this name would wait for a writer.
    handle_ = file_handle(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (const int reason = errno; !handle_.is_open())
      refuse_file(name_, "a readable file", reason_of(reason),
                  reason == EMFILE ? "raise the limit of open files with ulimit -n"
                                   : "check the path and its permissions");
    struct stat status {};
    if (::fstat(handle_.get(), &status) != 0 || !S_ISREG(status.st_mode))
      refuse_file(name_, "a file", S_ISDIR(status.st_mode) ? "a directory" : "something else",
                  "name a file");
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  /// Contents that are in memory already; `name` stands in messages.
  random_reader(std::vector<std::uint8_t> contents, std::string name)
      : name_(std::move(name)), contents_(std::move(contents)), size_(contents_.size()) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// Whether `count` bytes from `at` on are within the file; for numbers of any size.
  [[nodiscard]] bool holds(std::uint64_t at, std::uint64_t count) const {
    return at <= size_ && count <= size_ - at;
  }

  /// Fills `out` with the bytes from `at` on.
  /// @throws data_error if the file ends before them or cannot be read
  void read(std::uint64_t at, std::span<std::uint8_t> out) const {
    if (!holds(at, out.size())) refuse_end(at + out.size());
    if (!handle_.is_open()) {
      std::copy_n(contents_.begin() + static_cast<std::ptrdiff_t>(at), out.size(), out.begin());
      return;
    }
    while (!out.empty()) {
      const ssize_t got = ::pread(handle_.get(), out.data(), out.size(), static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        refuse_file(name_, "a readable file", reason_of(errno), "check the disk and copy it again");
      if (got == 0) refuse_end(at + out.size());
      out = out.subspan(static_cast<std::size_t>(got));
      at += static_cast<std::uint64_t>(got);
    }
  }
  /// The same in a vector, which is allocated only if the file has the bytes.
  [[nodiscard]] std::vector<std::uint8_t> read(std::uint64_t at, std::uint64_t count) const {
    if (!holds(at, count)) refuse_end(at + count);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(count));
    read(at, std::span(out));
    return out;
  }

 private:
  [[noreturn]] void refuse_end(std::uint64_t needed) const {
    refuse_file(name_, "at least " + std::to_string(needed) + " bytes",
                "only " + std::to_string(size_), "copy it again");
  }

  std::string name_;
  file_handle handle_;
  std::vector<std::uint8_t> contents_;
  std::uint64_t size_{};
};

/// Unsigned number of `Bytes` bytes, least first, as zip and NumPy have them.
template <std::size_t Bytes>
std::uint64_t little_endian(std::span<const std::uint8_t> bytes, std::size_t at) {
  static_assert(Bytes <= 8, "a number of more than 8 bytes does not fit; read it in parts");
  std::uint64_t number = 0;
  for (std::size_t i = Bytes; i-- > 0;) number = number << 8 | bytes[at + i];
  return number;
}

}  // namespace gantry::io
