// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/backend/cpu/augment.hpp"
#include "gantry/backend/cpu/backend.hpp"
#include "gantry/backend/cpu/minibatch.hpp"
#include "gantry/backend/cpu/norm.hpp"
#include "gantry/backend/cpu/penalty.hpp"
#include "gantry/backend/cpu/pointwise.hpp"
#include "gantry/backend/cpu/products.hpp"
#include "gantry/backend/cpu/spectral_norm.hpp"
