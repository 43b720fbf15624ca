// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/base/error.hpp"

#include "transport.hpp"
#include "transport_nccl.hpp"

std::unique_ptr<transport> make_nccl_transport(const std::string&) {
  throw gantry::usage_error(
      "--transport nccl was expected with a build that has NCCL and came with one without; "
      "configure with -DGANTRY_CUDA=ON -DGANTRY_NCCL=ON or use --transport mpi");
}
