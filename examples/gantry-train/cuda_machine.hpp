// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What --device cuda can use.
#pragma once

#include <cstddef>
#include <memory>

#include "gantry/concepts/device_room.hpp"

struct cuda_machine {
  bool built{false};      ///< the program has been compiled for it
  bool libraries{false};  ///< with cuBLASLt and cuDNN, for --kernels vendor
  int devices{0};         ///< that this process sees
  std::size_t memory{};   ///< bytes of the smallest of them
};

/// @throws gantry::device_error for a driver that fails
cuda_machine find_cuda_machine();

/// Room for messages on the device of this process; null in a build without CUDA.
std::shared_ptr<gantry::device_room> make_device_room(int local_rank);

/// The most bytes that the ranks of this process have had of their devices since the last call.
struct device_peaks {
  std::size_t used{}, held{};  ///< for networks and images; with what is kept for the next request
};
device_peaks take_device_peaks();

/// Launches that the ranks of this process have left to the own kernels with --kernels vendor,
/// since the libraries had no plan for them.
std::size_t launches_without_plan();
