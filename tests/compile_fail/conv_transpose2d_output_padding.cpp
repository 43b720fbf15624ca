// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// EXPECT: conv_transpose2d: the output padding must be smaller than the stride
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int output_padding = 2;
#else
constexpr int output_padding = 1;
#endif

using net = sequential<image<7, 7, 8>, conv_transpose2d<4, 5, 2, 2, bias::no, output_padding>>;
constexpr std::size_t count = net::param_count;
