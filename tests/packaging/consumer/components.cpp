// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Headers and libraries of the components that were found, by what their targets bring along.
#ifdef HAS_mpi
#include <gantry/comm/mpi.hpp>
#endif
#ifdef HAS_cuda
#include <cuda_runtime.h>
#endif
#include <gantry/base/error.hpp>

#ifdef HAS_nccl
extern "C" int ncclGetVersion(int* version);
#endif

int main() {
#ifdef HAS_nccl
  int version = 0;
  if (ncclGetVersion(&version) != 0) return 1;
#endif
  return static_cast<int>(gantry::exit_code::done);
}
