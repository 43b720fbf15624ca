// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-bench comm: what messages and collectives cost, operation by operation and size by size.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

struct communication_settings {
  std::string transport{"threads"};
  int ranks{0};                                      ///< 0: as many as the launcher started, or 2
  std::vector<std::string> operations{};             ///< empty: all
  std::size_t least{4}, most{std::size_t{1} << 24};  ///< bytes; sizes in between grow by 4
  double seconds{0.05};                              ///< for an operation and size
};

std::vector<std::string> communication_operations();
std::vector<std::string> transport_names();

/// Prints a JSON line for each operation and size, and one for each operation with the line
/// alpha + bytes / beta through its times. Over MPI every rank calls it and rank 0 prints.
/// @throws gantry::usage_error
void run_communication(const communication_settings& settings);

/// seconds = latency + bytes / bandwidth.
struct message_cost {
  double latency{}, bandwidth{};
};

/// The least squares of relative errors, so that short messages count as much as long ones. Neither
/// number is negative. @throws gantry::usage_error for fewer than two sizes
message_cost fitted_cost(const std::vector<double>& bytes, const std::vector<double>& seconds);
