// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace gantry::inline v0::io {

namespace detail {

inline int create_file(const char* path) {
  return ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

/// Lets two names change places in one step, where the system and its file system can.
inline int exchange_names([[maybe_unused]] const char* a, [[maybe_unused]] const char* b) {
#ifdef RENAME_EXCHANGE
  return ::renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
#else
  errno = ENOSYS;
  return -1;
#endif
}

}  // namespace detail

/// The system calls that change files here, all with errno. Tests put others in their places, which
/// fail or end the process at a chosen step; nobody else changes them.
struct file_calls {
  int (*create)(const char* path) = detail::create_file;  ///< a new file, for writing
  ssize_t (*write)(int file, const void* bytes, std::size_t size) = ::write;
  int (*sync)(int file) = ::fsync;
  int (*close)(int file) = ::close;
  int (*rename)(const char* from, const char* to) = ::rename;
  int (*exchange)(const char* a, const char* b) = detail::exchange_names;
  int (*make_folder)(const char* path, mode_t) = ::mkdir;
};

inline constinit file_calls file_system{};

}  // namespace gantry::io
