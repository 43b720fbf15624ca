// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A preset for --device cpu.
#pragma once

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/models/augmented.hpp"

#include "preset_program.hpp"

struct on_cpu {
  using backend = gantry::backend::cpu;
  static backend make(const program_options& o, int) { return backend(o.threads); }
  /// None: a rank's backend works on the threads of its world.
  static gantry::train::backend_maker<backend> maker(const program_options&) { return {}; }
};
