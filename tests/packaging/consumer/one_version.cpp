// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A part of a program that is built against one version: compiled twice, with PART as the name of
// its function.
#include <gantry/base/error.hpp>
#include <gantry/tensor/buffer.hpp>
#include <gantry/tensor/shape.hpp>

/// What this version says, by code that is not inlined: the exit code of its refusals.
int PART() {
  const gantry::hwc shape = gantry::image<2, 3, 1>::shape;
  try {
    gantry::expects(shape.size() != 6, "the refusal was expected");
  } catch (const gantry::error& e) {
    return static_cast<int>(e.code());
  }
  return -1;
}
