// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/file.hpp"

#include "scratch.hpp"

namespace gantry::inline v0::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::message_of;
using test::scratch_folder;

/// While it lives, no file of this process can grow beyond `bytes`: a full disk, without one.
class file_size_limit {
 public:
  explicit file_size_limit(rlim_t bytes) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~file_size_limit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_CASE("read_file gives back what write_file_atomic wrote, with any bytes") {
  const scratch_folder folder;
  std::string text = "a\r\n\x80";
  text.push_back('\0');
  for (const std::string& content : {std::string(), text, std::string(3000000, 'z')}) {
    write_file_atomic(folder / "f", content);
    CHECK(read_text(folder / "f") == content);
    CHECK(read_file(folder / "f").size() == content.size());
    CHECK(folder.files() == 1);
  }
}

TEST_CASE("read_file says in one sentence which file is missing") {
  CHECK(
      message_of<data_error>([] { read_file("/nowhere/x.bin"); }) ==
      "cannot read /nowhere/x.bin (No such file or directory); check the path and its permissions");
  const scratch_folder folder;
  CHECK(contains(message_of<data_error>([&] { read_file(folder.path()); }), "Is a directory"));
}

TEST_CASE("write_file_atomic keeps the old file and leaves nothing behind when it fails") {
  const scratch_folder folder;
  write_file_atomic(folder / "f", "old");
  const std::string big(100000, 'n');
  const std::string message = message_of<error>([&] {
    const file_size_limit limit(4096);
    write_file_atomic(folder / "f", big);
  });
  CHECK(contains(message, "cannot write " + (folder / "f").string() + " (File too large)"));
  CHECK(read_text(folder / "f") == "old");
  CHECK(folder.files() == 1);

  fs::create_directories(folder / "d" / "inside");
  CHECK(contains(message_of<error>([&] { write_file_atomic(folder / "d", "x"); }), "cannot write"));
  CHECK(contains(message_of<error>([&] { write_file_atomic(folder / "none" / "f", "x"); }),
                 "No such file or directory"));
  CHECK(folder.files() == 2);
}

TEST_CASE("write_file_atomic accepts a name without a folder") {
  const scratch_folder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_file_atomic("plain", "x");
  fs::current_path(before);
  CHECK(read_text(folder / "plain") == "x");
}

TEST_CASE("a killed writer leaves the complete old or the complete new file") {
  const scratch_folder folder;
  const std::string contents[2] = {std::string(300000, 'a'), std::string(200000, 'b')};
  write_file_atomic(folder / "f", contents[0]);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        for (int i = 0;; ++i) write_file_atomic(folder / "f", contents[i % 2]);
      } catch (...) {
        ::_exit(1);
      }
    }
    ::usleep(static_cast<useconds_t>(1000 + 700 * round));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    const std::string found = read_text(folder / "f");
    CHECK((found == contents[0] || found == contents[1]));
  }
}

TEST_CASE("require_writable_directory creates folders and refuses impossible ones") {
  const scratch_folder folder;
  require_writable_directory(folder / "a" / "b");
  require_writable_directory(folder / "a" / "b");
  CHECK(fs::is_empty(folder / "a" / "b"));

  write_file_atomic(folder / "file", "x");
  const auto refusal = [](const fs::path& path) {
    return message_of<data_error>([&] { require_writable_directory(path); });
  };
  for (const fs::path& bad :
       {folder / "file", folder / "file" / "below", fs::path("/proc/gantry"), fs::path()}) {
    CHECK(contains(refusal(bad), "cannot write into the folder '" + bad.string() + "'"));
  }
  CHECK(contains(refusal("/proc"), "choose another output folder"));
  CHECK(contains(refusal(folder / "file" / "below"), "Not a directory"));
}

TEST_CASE("line_log appends whole lines and continues an old file") {
  const scratch_folder folder;
  {
    line_log log(folder / "log");
    log.append("one");
    CHECK(read_text(folder / "log") == "one\n");
    log.append("");
    log.sync();
  }
  line_log(folder / "log").append("three");
  CHECK(read_text(folder / "log") == "one\n\nthree\n");
  CHECK_THROWS_AS(line_log(folder / "log").append("a\nb"), usage_error);
  CHECK(contains(message_of<error>([&] { line_log(folder / "no" / "log"); }), "cannot append to"));
}

TEST_CASE("line_log takes back a line that did not fit") {
  const scratch_folder folder;
  line_log log(folder / "log");
  log.append("first");
  const std::string message = message_of<error>([&] {
    const file_size_limit limit(100);
    log.append(std::string(500, 'x'));
  });
  CHECK(contains(message, "File too large"));
  log.append("second");
  CHECK(read_text(folder / "log") == "first\nsecond\n");
}

TEST_CASE("keep_lines drops lines, and a last one that was cut") {
  const scratch_folder folder;
  const fs::path path = folder / "log";
  line_log::keep_lines(path, [](std::string_view) { return true; });
  CHECK_FALSE(fs::exists(path));

  write_file_atomic(path, "1\n2\n\n3\n4\n1");
  std::vector<std::string> seen;
  line_log::keep_lines(path, [&](std::string_view line) {
    seen.emplace_back(line);
    return line != "3" && line != "4";
  });
  CHECK(seen == std::vector<std::string>{"1", "2", "", "3", "4"});
  CHECK(read_text(path) == "1\n2\n\n");
  line_log(path).append("9");
  CHECK(read_text(path) == "1\n2\n\n9\n");
}

}  // namespace
}  // namespace gantry::io
