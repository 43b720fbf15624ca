// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "options.hpp"

namespace CLI {
class App;
}

void add_device_flags(CLI::App& app, program_options& o);

/// Replaces auto by cpu or cuda. @throws gantry::usage_error if --device cuda cannot be, or
/// --precision would change nothing
void resolve_device(const model_info& model, program_options& o);
