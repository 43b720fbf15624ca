// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "gantry/io/report.hpp"

/// "12.3 MB"; units are powers of 1000.
std::string size_text(double bytes);

/// What this process runs on: processor, memory, system, compiler.
std::vector<gantry::io::fact> machine_facts();

/// Memory that this process holds now, in GiB; 0 where the system does not say.
double resident_gib();
