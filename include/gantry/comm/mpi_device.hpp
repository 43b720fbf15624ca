// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether MPI may be handed pointers to a device's memory.
#pragma once

#include <functional>
#include <string>

#include <mpi.h>
#if defined(OPEN_MPI) && __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

namespace gantry::inline v0::comm {

/// What a library says of itself; `unknown` where it has no way to say it.
enum class mpi_device_support { yes, no, unknown };

/// Of the library that runs, which may be another one than that of the headers. After its start.
inline mpi_device_support query_mpi_device_support() {
#if defined(OMPI_HAVE_MPI_EXT_CUDA) && OMPI_HAVE_MPI_EXT_CUDA
  return MPIX_Query_cuda_support() == 1 ? mpi_device_support::yes : mpi_device_support::no;
#else
  return mpi_device_support::unknown;
#endif
}

/// What a user wants: what the library says, or one of the two whatever it says.
enum class mpi_device_wish { automatic, pointers, staged };

struct mpi_device_choice {
  bool by_pointer{false};  ///< else messages go through pinned memory of the host
  std::string reason;
};
inline mpi_device_choice choose_mpi_device_path(
    mpi_device_wish wish,
    const std::function<mpi_device_support()>& query = query_mpi_device_support) {
  if (wish == mpi_device_wish::pointers) return {true, "as was asked for"};
  if (wish == mpi_device_wish::staged) return {false, "as was asked for"};
  const mpi_device_support found = query();
  if (found == mpi_device_support::yes) return {true, "the MPI library reports support for CUDA"};
  if (found == mpi_device_support::no) return {false, "the MPI library reports none for CUDA"};
  return {false, "the MPI library does not say whether it supports CUDA"};
}

}  // namespace gantry::comm
