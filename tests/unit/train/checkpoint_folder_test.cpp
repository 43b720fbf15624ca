// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/safetensors.hpp"
#include "gantry/train/checkpoint_folder.hpp"

#include "support/faulty_files.hpp"
#include "unit/io/scratch.hpp"

namespace gantry::inline v0::train {
namespace {

namespace fs = std::filesystem;
using gantry::test::fault;
using gantry::test::faulty_files;
using io::test::contains;
using io::test::message_of;
using io::test::scratch_folder;

constexpr const char* networks[] = {"generator.safetensors", "discriminator-1.safetensors"};

/// A checkpoint whose numbers are its iteration, then the removal of all but the last two and 1.
void save(const fs::path& root, std::uint32_t iteration, float content = 0) {
  checkpoint_writer writer(root, iteration);
  const std::array<float, 3> values{static_cast<float>(iteration), content, 1.0f};
  const std::array entries{
      io::tensor_entry::of<float>("0.weight", {3}, std::span<const float>(values))};
  for (const char* name : networks) io::write_safetensors(writer.folder() / name, entries);
  io::write_file_atomic(writer.folder() / "state.json", "{}\n");
  writer.commit();
  rotate_checkpoints(root, iteration, 2, scored_checkpoint{1, 0.5});
}

/// What is wrong with the checkpoints of a run; empty if every one can be read.
std::string complaint(const fs::path& root) {
  try {
    for (const auto& [iteration, path] : complete_checkpoints(root)) {
      verify_checkpoint(path);
      for (const char* name : networks) {
        const auto file = io::safetensors_file::read(path / name);
        if (file.find<float>("0.weight")[0] != static_cast<float>(iteration))
          return path.string() + " is of another iteration";
      }
    }
  } catch (const error& e) {
    return e.what();
  }
  return {};
}

std::vector<std::uint32_t> iterations_in(const fs::path& root) {
  std::vector<std::uint32_t> all;
  for (const auto& [iteration, path] : complete_checkpoints(root)) all.push_back(iteration);
  return all;
}

/// While it lives, nothing waits for the disk: a process that ends loses nothing that the system
/// has.
class quick_files {
 public:
  quick_files() {
    io::file_system.sync = [](int) { return 0; };
  }
  quick_files(const quick_files&) = delete;
  quick_files& operator=(const quick_files&) = delete;
  ~quick_files() { io::file_system = {}; }
};

/// Runs `act` in a process of its own. @returns whether SIGKILL ended it
template <class Act>
bool is_killed(Act act) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      act();
    } catch (...) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFSIGNALED(status)) CHECK(WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

TEST_CASE("a checkpoint survives SIGKILL before and after each call that changes a file") {
  const quick_files quick;
  for (const std::uint32_t next : {4u, 3u})  // a new one, and one that takes the place of another
    for (const fault what : {fault::kills_before, fault::kills_after}) {
      int steps = 0;
      for (bool killed = true; killed; ++steps) {
        CAPTURE(next);
        CAPTURE(steps);
        const scratch_folder root;
        for (const std::uint32_t i : {1u, 2u, 3u}) save(root.path(), i);
        killed = is_killed([&] {
          const faulty_files faults(what, steps);
          save(root.path(), next);
        });
        CHECK(complaint(root.path()) == "");
        const auto latest = latest_checkpoint(root.path());
        REQUIRE(latest);
        const std::string name = latest->filename().string();
        CHECK((name == checkpoint_name(3) || name == checkpoint_name(next)));
        save(root.path(), next + 1);  // what was left does not stand in the way
        CHECK(complaint(root.path()) == "");
        CHECK(iterations_in(root.path()).back() == next + 1);
      }
      CHECK(steps > 25);
    }
}

/// Half of the kills come after a random time, half at a random call: those do not depend on how
/// busy the machine is, so that some checkpoints are saved in between.
TEST_CASE("no latest checkpoint is unreadable after 200 kills at random times") {
  const quick_files quick;
  const scratch_folder root;
  save(root.path(), 1);
  std::uint32_t saved = 1;
  int unreadable = 0, later = 0;
  std::uint32_t draw = 1;
  for (std::uint32_t round = 0; round < 200; ++round) {
    draw = draw * 1664525u + 1013904223u;  // a congruential generator is random enough
    const bool by_call = round % 2 == 0;
    const int calls = by_call ? static_cast<int>(draw >> 24) / 2 : -1;
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        const faulty_files faults(fault::kills_before, calls);
        for (std::uint32_t next = saved + 1;; ++next) save(root.path(), next);
      } catch (...) {
        ::_exit(1);
      }
    }
    if (!by_call) {
      ::usleep(draw >> 18);  // up to 16 ms
      ::kill(child, SIGKILL);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    const std::string wrong = complaint(root.path());
    if (!wrong.empty()) MESSAGE(wrong);
    const auto left = iterations_in(root.path());
    unreadable += wrong.empty() && !left.empty() ? 0 : 1;
    if (left.empty()) break;
    CHECK(left.front() == 1);  // the best one
    CHECK(left.back() >= saved);
    later += left.back() > saved ? 1 : 0;
    saved = left.back();
  }
  CHECK(unreadable == 0);
  CHECK(later > 20);
  // What kills left to be rotated away goes with the next save that is left alone.
  save(root.path(), saved + 1);
  CHECK(iterations_in(root.path()) == std::vector<std::uint32_t>{1, saved, saved + 1});
  MESSAGE("200 kills, ", saved, " checkpoints, ", unreadable, " unreadable");
}

TEST_CASE("a full or failing disk at any step leaves the earlier checkpoints and one sentence") {
  const quick_files quick;
  for (const int reason : {ENOSPC, EIO}) {
    int steps = 0;
    for (bool failed = true; failed; ++steps) {
      CAPTURE(steps);
      const scratch_folder root;
      for (const std::uint32_t i : {1u, 2u, 3u}) save(root.path(), i);
      failed = false;
      try {
        const faulty_files faults(fault::fails, steps, reason);
        save(root.path(), 4);
      } catch (const error& e) {
        failed = true;
        CHECK(e.code() == exit_code::refused);
        CHECK(contains(e.what(), root.path().string()));
        CHECK(contains(e.what(), io::reason_of(reason)));
      }
      CHECK(complaint(root.path()) == "");
      const auto left = iterations_in(root.path());
      CHECK(left.front() == 1);
      CHECK(std::ranges::count(left, 3u) == 1);
      CHECK_FALSE(fs::exists(unfinished_checkpoint(root.path(), 4)));
    }
    CHECK(steps > 25);
  }
}

TEST_CASE(
    "a checkpoint takes the place of one with its iteration where names cannot be exchanged") {
  for (const int reason : {EINVAL, ENOSYS}) {
    const scratch_folder root;
    save(root.path(), 1, 5.0f);
    {
      const io::file_calls all = io::file_system;
      io::file_system.exchange = reason == EINVAL
                                     ? [](const char*, const char*) { return errno = EINVAL, -1; }
                                     : [](const char*, const char*) { return errno = ENOSYS, -1; };
      save(root.path(), 1, 6.0f);
      io::file_system = all;
    }
    CHECK(complaint(root.path()) == "");
    CHECK(root.files() == 1);
    const auto file =
        io::safetensors_file::read(root.path() / checkpoint_name(1) / "generator.safetensors");
    CHECK(file.find<float>("0.weight")[1] == 6.0f);
  }
}

TEST_CASE("no kill loses a checkpoint whose name another takes where names cannot be exchanged") {
  const quick_files quick;
  io::file_system.exchange = [](const char*, const char*) { return errno = EINVAL, -1; };
  int set_aside = 0;
  for (const fault what : {fault::kills_before, fault::kills_after}) {
    int steps = 0;
    for (bool killed = true; killed; ++steps) {
      CAPTURE(steps);
      const scratch_folder root;
      for (const std::uint32_t i : {1u, 2u, 3u}) save(root.path(), i);
      killed = is_killed([&] {
        const faulty_files faults(what, steps);
        save(root.path(), 3, 6.0f);
      });
      set_aside += fs::exists(root.path() / checkpoint_name(3)) ? 0 : 1;
      const bool resumes = steps % 2 == 0;
      if (resumes) {
        restore_set_aside(root.path());
        CHECK(iterations_in(root.path()) == std::vector<std::uint32_t>{1, 2, 3});
        CHECK_FALSE(fs::exists(set_aside_checkpoint(root.path(), 3)));
      }
      save(root.path(), 4);
      CHECK(complaint(root.path()) == "");
      CHECK(iterations_in(root.path()) == std::vector<std::uint32_t>{1, 3, 4});
      CHECK_FALSE(fs::exists(set_aside_checkpoint(root.path(), 3)));
    }
    CHECK(steps > 25);
  }
  CHECK(set_aside >= 2);  // after the first of the two renames, before the second
}

TEST_CASE("what is set aside comes back only whole, and only if its name is free") {
  const scratch_folder root;
  const auto set_aside = [&](std::uint32_t i) {
    save(root.path(), i);
    fs::rename(root.path() / checkpoint_name(i), set_aside_checkpoint(root.path(), i));
  };
  set_aside(7);
  restore_set_aside(root.path());
  CHECK(iterations_in(root.path()) == std::vector<std::uint32_t>{7});
  fs::rename(root.path() / checkpoint_name(7), set_aside_checkpoint(root.path(), 7));
  fs::remove(set_aside_checkpoint(root.path(), 7) / "MANIFEST.json");
  restore_set_aside(root.path());
  CHECK(root.files() == 0);
  CHECK(iteration_of_unfinished(".network-snapshot-000007.partial") == 7u);
  CHECK(iteration_of_unfinished(".network-snapshot-000007.partial.old") == 7u);
  for (const char* name : {"network-snapshot-000007.partial", ".network-snapshot-000007", ".old",
                           ".partial", ".network-snapshot-7.partial", "."})
    CHECK_FALSE(iteration_of_unfinished(name));
}

TEST_CASE("rotation keeps the last ones and the best, and touches nothing else") {
  const scratch_folder root;
  for (std::uint32_t i = 1; i <= 6; ++i) {
    checkpoint_writer writer(root.path(), i);
    writer.commit();
  }
  fs::create_directories(root / "network-snapshot-000007");  // without a manifest
  fs::create_directories(root / "network-snapshot-old");
  rotate_checkpoints(root.path(), 5, 2, scored_checkpoint{2, 1.0});
  CHECK(iterations_in(root.path()) == std::vector<std::uint32_t>{2, 4, 5, 6});
  rotate_checkpoints(root.path(), 6, 9, std::nullopt);
  CHECK(iterations_in(root.path()) == std::vector<std::uint32_t>{2, 4, 5, 6});
  rotate_checkpoints(root.path(), 6, 1, std::nullopt);
  CHECK(iterations_in(root.path()) == std::vector<std::uint32_t>{6});
  CHECK(root.files() == 3);
}

TEST_CASE("a checkpoint is verified against its manifest") {
  const scratch_folder root;
  save(root.path(), 1);
  const fs::path folder = root.path() / checkpoint_name(1);
  const auto refusal = [&] { return message_of<data_error>([&] { verify_checkpoint(folder); }); };
  verify_checkpoint(folder);
  CHECK(verified_state(folder) == detail::read_json(folder / "state.json"));
  io::write_file_atomic(folder / "extra.safetensors", "x");
  CHECK(contains(refusal(), "also holds extra.safetensors"));
  fs::remove(folder / "extra.safetensors");
  io::write_file_atomic(folder / "state.json", "{ }\n");
  CHECK(contains(refusal(), "state.json was expected to have the SHA-256"));
  CHECK(contains(message_of<data_error>([&] { (void)verified_state(folder); }), "SHA-256"));
  fs::remove(folder / "state.json");
  CHECK(contains(refusal(), "was expected to hold state.json and does not"));
  io::write_file_atomic(folder / "MANIFEST.json", R"({"format":"gantry-2","sha256":{}})");
  CHECK(contains(refusal(), "expected to be of the format gantry-1 and is of \"gantry-2\""));
  fs::remove(folder / "MANIFEST.json");
  CHECK(contains(refusal(), "MANIFEST.json"));
  CHECK(iteration_of_checkpoint("network-snapshot-4294967295") == 4294967295u);
  for (const char* name : {"network-snapshot-", "network-snapshot-00001", "network-snapshot-00000x",
                           "network-snapshot-4294967296", "network-snapshot--00001", "snapshot"})
    CHECK_FALSE(iteration_of_checkpoint(name));
}

}  // namespace
}  // namespace gantry::train
