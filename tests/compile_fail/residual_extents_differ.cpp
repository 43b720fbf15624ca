// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Two paths of a residual block that give different extents.
// EXPECT: residual<path<...>, path<...>>: both paths must give the same height, width and
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
using shortcut = path<>;
#else
using shortcut = path<conv2d<8, 1, 2>>;
#endif

using block = residual<path<relu, conv2d<8, 3, 2, 1>>, shortcut>;
constexpr auto count = sequential<image<8, 8, 4>, block, linear<1>>::param_count;
