// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// All layers.
#pragma once

#include "gantry/nn/activation.hpp"
#include "gantry/nn/augment.hpp"
#include "gantry/nn/augmented.hpp"
#include "gantry/nn/batch_norm.hpp"
#include "gantry/nn/conditional.hpp"
#include "gantry/nn/conv2d.hpp"
#include "gantry/nn/conv_transpose2d.hpp"
#include "gantry/nn/dropout.hpp"
#include "gantry/nn/group_norm.hpp"
#include "gantry/nn/grouped_conv2d.hpp"
#include "gantry/nn/learned_basis.hpp"
#include "gantry/nn/linear.hpp"
#include "gantry/nn/minibatch_deviation.hpp"
#include "gantry/nn/minibatch_discrimination.hpp"
#include "gantry/nn/pixel_norm.hpp"
#include "gantry/nn/pooled_conv2d.hpp"
#include "gantry/nn/resample.hpp"
#include "gantry/nn/reshape.hpp"
#include "gantry/nn/residual.hpp"
#include "gantry/nn/self_attention.hpp"
#include "gantry/nn/sequential.hpp"
#include "gantry/nn/spectral_norm.hpp"
#include "gantry/nn/summary.hpp"
#include "gantry/nn/upsampled_conv2d.hpp"
