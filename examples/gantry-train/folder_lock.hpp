// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <sys/file.h>
#include <unistd.h>

#include "gantry/base/error.hpp"

/// Keeps other runs out of a folder while it lives; the system lets go of it however the process
/// ends, and nothing is written.
class folder_lock {
 public:
  /// @throws gantry::usage_error if another process has it. A file system that knows no locks is
  /// taken as it is.
  explicit folder_lock(const std::filesystem::path& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ < 0 || ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
      return;
    ::close(descriptor_);
    throw gantry::usage_error(
        "--outdir was expected to be used by one run at a time and another "
        "one writes into " +
        folder.string() + "; wait for it or give another --outdir");
  }
  folder_lock(const folder_lock&) = delete;
  folder_lock& operator=(const folder_lock&) = delete;
  ~folder_lock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

 private:
  int descriptor_;
};
