// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unistd.h>

#include <doctest/doctest.h>

#include "gantry/io/file.hpp"

#include "guarded.hpp"
#include "unit/io/scratch.hpp"

namespace {

using namespace gantry;

struct ending {
  int code{};
  std::string said;
};

/// How a program ends that does this, and what it says on the standard error stream.
template <class F>
ending end_of(F f) {
  const io::test::scratch_folder folder;
  const std::filesystem::path path = folder / "said";
  std::fflush(stderr);
  const int terminal = ::dup(STDERR_FILENO);
  std::FILE* file = std::fopen(path.c_str(), "w");
  ::dup2(::fileno(file), STDERR_FILENO);
  const int code = guarded({"gantry-x", "lower --batch"}, f);
  std::fflush(stderr);
  ::dup2(terminal, STDERR_FILENO);
  ::close(terminal);
  std::fclose(file);
  return {code, io::read_text(path)};
}

}  // namespace

TEST_CASE("a program ends with a sentence and the exit code of its failure") {
  const ending done = end_of([] { return 5; });
  CHECK(done.code == 5);
  CHECK(done.said.empty());
  const ending usage = end_of([]() -> int { throw usage_error("give more"); });
  CHECK(usage.code == static_cast<int>(exit_code::usage));
  CHECK(usage.said == "gantry-x: give more\n");
  const ending full = end_of([]() -> int { throw io::write_error("write", "a/b", ENOSPC); });
  CHECK(full.code == static_cast<int>(exit_code::refused));
  const ending folder = end_of([]() -> int {
    throw std::filesystem::filesystem_error("what", "a/b",
                                            std::make_error_code(std::errc::permission_denied));
  });
  CHECK(folder.code == static_cast<int>(exit_code::refused));
  CHECK(folder.said.starts_with("gantry-x: cannot use a/b (Permission denied); check "));
  const ending memory = end_of([]() -> int { throw std::bad_alloc(); });
  CHECK(memory.code == static_cast<int>(exit_code::failure));
  CHECK(memory.said == "gantry-x: expected enough memory and found too little; lower --batch\n");
  const ending other = end_of([]() -> int { throw std::runtime_error("else"); });
  CHECK(other.code == static_cast<int>(exit_code::failure));
  CHECK(other.said == "gantry-x: else\n");
}
