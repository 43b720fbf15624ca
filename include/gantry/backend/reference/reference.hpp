// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/backend/reference/attention.hpp"
#include "gantry/backend/reference/augment.hpp"
#include "gantry/backend/reference/backend.hpp"
#include "gantry/backend/reference/group_norm.hpp"
#include "gantry/backend/reference/grouped_conv2d.hpp"
#include "gantry/backend/reference/image_batch.hpp"
#include "gantry/backend/reference/kernel_fold.hpp"
#include "gantry/backend/reference/labels.hpp"
#include "gantry/backend/reference/learned_basis.hpp"
#include "gantry/backend/reference/minibatch_deviation.hpp"
#include "gantry/backend/reference/norm.hpp"
#include "gantry/backend/reference/penalty.hpp"
#include "gantry/backend/reference/pixel_norm.hpp"
#include "gantry/backend/reference/pointwise.hpp"
#include "gantry/backend/reference/products.hpp"
#include "gantry/backend/reference/resample.hpp"
#include "gantry/backend/reference/spectral_norm.hpp"
