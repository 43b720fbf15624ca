// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A gradient penalty on a discriminator with several outputs.
// EXPECT: penalised<objective, penalties...>: a gradient penalty needs a discriminator with one
// output
#include "gantry/loss/auxiliary_classifier.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/loss/penalties.hpp"

using namespace gantry;

#ifdef GANTRY_MISTAKE
using objective = loss::auxiliary_classifier<loss::non_saturating, 10>;
#else
using objective = loss::non_saturating;
#endif

loss::penalised<objective, loss::r1> penalised;
