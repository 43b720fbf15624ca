// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Files that are either the old one or the new one, never half of each (POSIX).
#pragma once

#include <atomic>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/file_calls.hpp"

namespace gantry::inline v0::io {

/// A descriptor that closes itself.
class file_handle {
 public:
  file_handle() = default;
  explicit file_handle(int fd) : fd_(fd) {}
  file_handle(file_handle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  file_handle& operator=(file_handle&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~file_handle() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  /// Closes now; false with errno set if that fails (NFS reports late write errors here).
  [[nodiscard]] bool close() {
    return file_system.close(std::exchange(fd_, -1)) == 0 || errno == EINTR;
  }

 private:
  int fd_ = -1;
};

/// The bytes of a text.
inline std::span<const std::byte> text_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Text of an errno value: "No space left on device".
inline std::string reason_of(int errno_value) {
  return std::generic_category().message(errno_value);
}

/// A file or folder that cannot be written: a full disk, a failing one, no permission.
class write_error : public error {
 public:
  /// `what` is what was tried: "write", "append to".
  write_error(const std::string& what, const std::filesystem::path& path, int errno_value)
      : error("cannot " + what + " " + path.string() + " (" + reason_of(errno_value) +
                  "); check the folder, its permissions and the free space",
              exit_code::refused) {}
};

/// Writes everything or returns false with errno set; restarts after signals.
inline bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = file_system.write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

/// Writes everything to the end of a file, or nothing of it remains; false with errno set then.
inline bool append_all(int fd, std::span<const std::byte> bytes) {
  struct stat before {};
  if (::fstat(fd, &before) != 0) return false;
  if (write_all(fd, bytes)) return true;
  const int reason = errno;
  if (S_ISREG(before.st_mode) && ::ftruncate(fd, before.st_size) != 0) return false;
  errno = reason;
  return false;
}

/// Calls `use` with the file's bytes in pieces of at most 1 MiB.
/// @throws data_error if the file cannot be opened or read
inline void for_each_chunk(const std::filesystem::path& path,
                           std::invocable<std::span<const std::byte>> auto use) {
  const auto refuse = [&](int errno_value) {
    throw data_error("cannot read " + path.string() + " (" + reason_of(errno_value) +
                     "); check the path and its permissions");
  };
  const file_handle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) refuse(errno);
  std::vector<std::byte> chunk(std::size_t{1} << 20);
  for (;;) {
    const ssize_t got = ::read(file.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(errno);
    if (got == 0) return;
    use(std::span<const std::byte>(chunk).first(static_cast<std::size_t>(got)));
  }
}

/// All bytes of a file. @throws data_error if the file cannot be read
inline std::vector<std::byte> read_file(const std::filesystem::path& path) {
  std::vector<std::byte> bytes;
  std::error_code ignored;
  const auto expected = std::filesystem::file_size(path, ignored);
  if (!ignored) bytes.reserve(expected);
  for_each_chunk(path, [&](std::span<const std::byte> chunk) {
    bytes.insert(bytes.end(), chunk.begin(), chunk.end());
  });
  return bytes;
}

/// All bytes of a file as text. @throws data_error if the file cannot be read
inline std::string read_text(const std::filesystem::path& path) {
  std::string text;
  for_each_chunk(path, [&](std::span<const std::byte> chunk) {
    text.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
  });
  return text;
}

/// A new file beside `target` that removes itself unless it is renamed to `target`.
class temporary_file {
 public:
  /// Check is_open(); errno tells why it is not.
  explicit temporary_file(const std::filesystem::path& target) {
    static std::atomic<unsigned> counter{0};
    do {
      path_ =
          target.string() + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
      handle_ = file_handle(file_system.create(path_.c_str()));
    } while (!handle_.is_open() && errno == EEXIST);
    exists_ = handle_.is_open();
  }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  ~temporary_file() {
    if (exists_) ::unlink(path_.c_str());
  }

  [[nodiscard]] bool is_open() const { return handle_.is_open(); }
  /// Writes, syncs and closes; false with errno set.
  [[nodiscard]] bool fill(std::span<const std::byte> bytes) {
    return write_all(handle_.get(), bytes) && file_system.sync(handle_.get()) == 0 &&
           handle_.close();
  }
  /// Takes the place of `target`; false with errno set.
  [[nodiscard]] bool rename_to(const std::filesystem::path& target) {
    exists_ = file_system.rename(path_.c_str(), target.c_str()) != 0;
    return !exists_;
  }

 private:
  std::string path_;
  file_handle handle_;
  bool exists_ = false;
};

/// Makes a rename in this folder survive a power cut; false with errno set. File systems that
/// cannot sync a folder say EINVAL, and there is nothing more to do on them.
inline bool sync_folder(const std::filesystem::path& folder) {
  const file_handle handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!handle.is_open()) return false;
  return file_system.sync(handle.get()) == 0 || errno == EINVAL;
}

/// Replaces `path` by a file with these bytes: a temporary file in the same folder, fsync, rename,
/// fsync of the folder. Whenever it is interrupted, `path` is the complete old or the complete new
/// file.
/// @throws write_error with the reason; the temporary file is gone then
inline void write_file_atomic(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  temporary_file temporary(path);
  const bool done = temporary.is_open() && temporary.fill(bytes) && temporary.rename_to(path) &&
                    sync_folder(folder);
  if (!done) throw write_error("write", path, errno);
}
inline void write_file_atomic(const std::filesystem::path& path, std::string_view text) {
  write_file_atomic(path, text_bytes(text));
}

/// Creates the folder if needed and makes sure that a file can be written into it, so that a run
/// fails before the work and not after it. `flag` is the one that a user would name another with.
/// @throws data_error
inline void require_writable_directory(const std::filesystem::path& folder,
                                       const std::string& flag = {}) {
  const auto refuse = [&](const std::string& reason) {
    throw data_error("cannot write into the folder '" + folder.string() + "' (" + reason + "); " +
                     (flag.empty() ? "choose another output folder" : "give another " + flag) +
                     " or correct its permissions");
  };
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) refuse(failure.message());
  temporary_file probe(folder / "write-check");
  if (!probe.is_open() || !probe.fill(text_bytes("x"))) refuse(reason_of(errno));
}

/// Appends lines to a text file, each with one write, so that a crash leaves whole lines (at worst
/// the last one cut).
class line_log {
 public:
  /// Opens the file for appending or creates it. @throws error if that fails
  explicit line_log(std::filesystem::path path)
      : path_(std::move(path)),
        handle_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
    if (!handle_.is_open()) refuse(errno);
  }

  /// Appends the line and a newline; the text is with the system when this returns.
  /// @throws usage_error for a line break in the line, error if it cannot be written (nothing of it
  /// remains then)
  void append(std::string_view line) {
    expects(line.find('\n') == std::string_view::npos,
            "a log line was expected to hold no line break and holds one; escape it or append two "
            "lines");
    if (!append_all(handle_.get(), text_bytes(std::string(line) + '\n'))) refuse(errno);
  }

  /// Makes the lines so far survive a power cut. @throws error
  void sync() {
    if (::fsync(handle_.get()) != 0) refuse(errno);
  }

  /// Keeps the lines for which `keep(std::string_view)` is true and drops the rest, and also a last
  /// line without a newline, which a crash has cut. Atomic; does nothing if there is no file. Call
  /// it before the log is opened.
  /// @throws data_error or error if the file cannot be read or written
  static void keep_lines(const std::filesystem::path& path,
                         std::predicate<std::string_view> auto keep) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return;
    const std::string text = read_text(path);
    std::string kept;
    std::string_view rest = text;
    for (std::size_t end; (end = rest.find('\n')) != std::string_view::npos;
         rest.remove_prefix(end + 1)) {
      if (keep(rest.substr(0, end))) kept += rest.substr(0, end + 1);
    }
    if (kept != text) write_file_atomic(path, kept);
  }

 private:
  [[noreturn]] void refuse(int errno_value) const {
    throw write_error("append to", path_, errno_value);
  }

  std::filesystem::path path_;
  file_handle handle_;
};

}  // namespace gantry::io
