// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// System calls on files of which a chosen one fails, or ends the process as SIGKILL does.
#pragma once

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include "gantry/io/file_calls.hpp"

namespace gantry::test {

enum class fault { fails, kills_before, kills_after };

/// While it lives, the call number `at` of this process that changes a file (from 0) has this
/// fault. A write that fails or kills has written half of its bytes.
class faulty_files {
 public:
  faulty_files(fault what, int at, int reason = 0) : before_(io::file_system) {
    what_ = what;
    at_ = at;
    reason_ = reason;
    count_ = 0;
    io::file_system = {
        .create = [](const char* path) { return go([&] { return real_.create(path); }, [] {}); },
        .write = [](int file, const void* bytes, std::size_t size) -> ssize_t {
          return go([&] { return real_.write(file, bytes, size); },
                    [&] { (void)!real_.write(file, bytes, size / 2); });
        },
        .sync = [](int file) { return go([&] { return real_.sync(file); }, [] {}); },
        .close =
            [](int file) {
              return go([&] { return real_.close(file); }, [&] { real_.close(file); });
            },
        .rename = [](const char* a,
                     const char* b) { return go([&] { return real_.rename(a, b); }, [] {}); },
        .exchange = [](const char* a,
                       const char* b) { return go([&] { return real_.exchange(a, b); }, [] {}); },
        .make_folder =
            [](const char* path, mode_t mode) {
              return go([&] { return real_.make_folder(path, mode); }, [] {});
            }};
    real_ = before_;
  }
  faulty_files(const faulty_files&) = delete;
  faulty_files& operator=(const faulty_files&) = delete;
  ~faulty_files() { io::file_system = before_; }

  /// Calls so far.
  [[nodiscard]] static int count() { return count_; }

 private:
  template <class Call, class Half>
  static auto go(Call call, Half half) -> decltype(call()) {
    if (count_++ != at_) return call();
    if (what_ == fault::kills_after) (void)call();
    if (what_ != fault::kills_after) half();
    if (what_ != fault::fails) ::kill(::getpid(), SIGKILL);
    errno = reason_;
    return -1;
  }

  static inline io::file_calls real_{};
  static inline fault what_{};
  static inline int at_{}, reason_{}, count_{};
  io::file_calls before_;
};

}  // namespace gantry::test
