// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// --tasks: several GANs at once, each over a group of workers of its own.
#pragma once

#include <functional>
#include <vector>

#include "options.hpp"

/// The options of each task: those of the command line, with the networks of the task and a folder
/// of their name in --outdir. @throws gantry::usage_error for tasks that cannot go together
std::vector<program_options> options_of_tasks(int argc, const char* const* argv,
                                              const program_options& all);

/// Calls `train` for every task at once, each in a thread of its own. One that fails leaves the
/// others alone. @returns the exit code of the first task that failed, or that of success
int train_together(const std::vector<program_options>& tasks,
                   const std::function<int(const program_options&)>& train);
