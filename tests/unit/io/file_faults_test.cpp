// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <string>

#include <doctest/doctest.h>

#include "gantry/io/file.hpp"

#include "scratch.hpp"
#include "support/faulty_files.hpp"

namespace gantry::inline v0::io {
namespace {

using gantry::test::fault;
using gantry::test::faulty_files;
using test::contains;
using test::scratch_folder;

TEST_CASE("a full or failing disk at any step is one sentence with exit code 3 and no leftover") {
  const std::string before(5000, 'o'), after(7000, 'n');
  for (const int reason : {ENOSPC, EIO}) {
    int steps = 0;
    for (bool failed = true; failed; ++steps) {
      CAPTURE(steps);
      const scratch_folder folder;
      write_file_atomic(folder / "f", before);
      failed = false;
      try {
        const faulty_files faults(fault::fails, steps, reason);
        write_file_atomic(folder / "f", after);
      } catch (const write_error& e) {
        failed = true;
        CHECK(e.code() == exit_code::refused);
        CHECK(std::string(e.what()) ==
              "cannot write " + (folder / "f").string() + " (" + reason_of(reason) +
                  "); check the folder, its permissions and the free space");
      }
      const std::string found = read_text(folder / "f");
      // The last step makes a rename durable that has already happened.
      CHECK(found == (failed && steps < 5 ? before : after));
      CHECK(folder.files() == 1);
    }
    CHECK(steps == 7);  // create, write, fsync, close, rename, fsync of the folder, and none
  }
}

TEST_CASE("folders that cannot be synced are no error, short writes go on") {
  const scratch_folder folder;
  {
    const faulty_files faults(fault::fails, 5, EINVAL);
    write_file_atomic(folder / "f", "x");
  }
  {
    const file_calls whole = file_system;
    file_system.write = [](int file, const void* bytes, std::size_t size) {
      return ::write(file, bytes, size > 3 ? 3 : size);
    };
    write_file_atomic(folder / "g", std::string(100, 'g'));
    file_system = whole;
  }
  CHECK(read_text(folder / "f") == "x");
  CHECK(read_text(folder / "g") == std::string(100, 'g'));
}

TEST_CASE("a log on a full disk keeps its whole lines") {
  const scratch_folder folder;
  line_log log(folder / "log");
  log.append("first");
  const std::string message = test::message_of<write_error>([&] {
    const faulty_files faults(fault::fails, 0, ENOSPC);
    log.append("a line that does not fit");
  });
  CHECK(contains(message, "cannot append to " + (folder / "log").string() + " (No space left"));
  log.append("second");
  CHECK(read_text(folder / "log") == "first\nsecond\n");
}

}  // namespace
}  // namespace gantry::io
