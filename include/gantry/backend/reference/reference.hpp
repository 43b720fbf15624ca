// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/backend/reference/augment.hpp"
#include "gantry/backend/reference/backend.hpp"
#include "gantry/backend/reference/norm.hpp"
#include "gantry/backend/reference/penalty.hpp"
#include "gantry/backend/reference/pointwise.hpp"
#include "gantry/backend/reference/products.hpp"
#include "gantry/backend/reference/spectral_norm.hpp"
