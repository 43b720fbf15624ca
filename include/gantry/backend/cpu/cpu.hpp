// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/backend/cpu/attention.hpp"
#include "gantry/backend/cpu/augment.hpp"
#include "gantry/backend/cpu/backend.hpp"
#include "gantry/backend/cpu/group_norm.hpp"
#include "gantry/backend/cpu/grouped_conv2d.hpp"
#include "gantry/backend/cpu/kernel_fold.hpp"
#include "gantry/backend/cpu/labels.hpp"
#include "gantry/backend/cpu/learned_basis.hpp"
#include "gantry/backend/cpu/minibatch.hpp"
#include "gantry/backend/cpu/minibatch_deviation.hpp"
#include "gantry/backend/cpu/norm.hpp"
#include "gantry/backend/cpu/penalty.hpp"
#include "gantry/backend/cpu/pixel_norm.hpp"
#include "gantry/backend/cpu/pointwise.hpp"
#include "gantry/backend/cpu/products.hpp"
#include "gantry/backend/cpu/resample.hpp"
#include "gantry/backend/cpu/spectral_norm.hpp"
