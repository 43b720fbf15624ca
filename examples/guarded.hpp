// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How every program ends: with the exit codes of gantry/base/error.hpp, and with a sentence for
// each failure.
#pragma once

#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <string>

#include "gantry/base/error.hpp"

struct program_name {
  const char* name;       ///< begins each sentence
  const char* on_memory;  ///< what to do where there is too little of it
};

/// Runs f, which gives an exit code. A failure is a sentence on the standard error stream and the
/// exit code that goes with it.
template <class F>
int guarded(const program_name& program, F&& f) {
  using gantry::exit_code;
  const auto fail = [&](const std::string& sentence, exit_code code) {
    std::fprintf(stderr, "%s: %s\n", program.name, sentence.c_str());
    return static_cast<int>(code);
  };
  try {
    return f();
  } catch (const gantry::error& e) {
    return fail(e.what(), e.code());
  } catch (const std::filesystem::filesystem_error& e) {
    return fail("cannot use " + e.path1().string() + " (" + e.code().message() +
                    "); check the folder, its permissions and the free space",
                exit_code::refused);
  } catch (const std::bad_alloc&) {
    return fail(std::string("expected enough memory and found too little; ") + program.on_memory,
                exit_code::failure);
  } catch (const std::exception& e) {
    return fail(e.what(), exit_code::failure);
  }
}
