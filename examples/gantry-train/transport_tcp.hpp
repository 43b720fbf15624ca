// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

class transport;

/// The processes of a launcher that meet without MPI. @throws gantry::usage_error if nothing says
/// where, gantry::error if some do not come
std::unique_ptr<transport> make_tcp_transport(const std::string& launch);
