// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Sizes that make no sense, in every layer and input that has one.
// EXPECT: image<H, W, C>: height, width and channels must be positive
// EXPECT: latent<N>: the number of components must be positive
// EXPECT: linear<Out>: the number of outputs must be positive
// EXPECT: conv2d<filters, kernel, stride, pad>: filters, kernel and stride must be positive
// EXPECT: conv_transpose2d<channels, kernel, stride, pad>: channels, kernel and stride
// EXPECT: minibatch_discrimination<kernels, dims>: both numbers must be positive
#include "gantry/nn/layers.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
constexpr int size = 0;
#else
constexpr int size = 1;
#endif

constexpr hwc picture = image<8, size, 1>::shape;
constexpr hwc vector = latent<size>::shape;
linear<size> dense;
conv2d<4, 4, size> convolution;
conv_transpose2d<size, 4> transposed;
minibatch_discrimination<5, size> discrimination;
