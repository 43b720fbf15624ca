// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

class transport;

/// Whether this build can talk over MPI: transport_mpi.cpp or no_mpi.cpp.
extern const bool has_mpi;
std::unique_ptr<transport> make_mpi_transport(const std::string& launch);
