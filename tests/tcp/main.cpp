// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// doctest's main in five processes, of which this one is rank 0.
#define DOCTEST_CONFIG_IMPLEMENT
#include <filesystem>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "tcp/ranks.hpp"

int main(int argc, char** argv) {
  test::meeting_folder =
      std::filesystem::temp_directory_path() / ("gantry_tcp_" + std::to_string(::getpid()));
  test::master_port = gantry::comm::tcp_listener(0).port();
  std::vector<pid_t> others;
  for (gantry::rank_t r = 1; r < test::processes; ++r) {
    const pid_t child = ::fork();
    if (child == 0) {
      test::rank = r;
      others.clear();
      break;
    }
    others.push_back(child);
  }
  doctest::Context context(argc, argv);
  context.setOption("no-version", true);
  int code = context.run();
  for (const pid_t child : others) {
    int status = 0;
    if (::waitpid(child, &status, 0) != child || status != 0) code = 1;
  }
  if (test::rank != 0) return code;
  std::filesystem::remove_all(test::meeting_folder);
  return code;
}
