// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How a process of a job ends.
#pragma once

#include <utility>

#include "guarded.hpp"
#include "transport.hpp"

/// As guarded(); a failure ends the whole job, and the process that fails first says why.
template <class F>
int guarded_job(const program_name& program, transport& job, F&& f) {
  bool ends_with_another = false;
  const int code = guarded(program, [&] {
    try {
      return std::forward<F>(f)();
    } catch (const gantry::rank_failed&) {
      ends_with_another = true;  // which prints its reason and ends the job
      return static_cast<int>(gantry::exit_code::failure);
    }
  });
  if (code != static_cast<int>(gantry::exit_code::done) && !ends_with_another) job.end_all(code);
  return code;
}
