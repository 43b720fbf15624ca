// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

class transport;

/// Values by NCCL, beside MPI or TCP in a job that a launcher started, else beside threads:
/// transport_nccl.cpp or no_nccl.cpp. @throws gantry::usage_error in a build without NCCL
std::unique_ptr<transport> make_nccl_transport(const std::string& launch);
