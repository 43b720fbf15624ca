// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "options.hpp"

/// --sample N --from DIR: draws images by the averaged generator of a checkpoint and writes them as
/// samples.png into the folder of the results. @throws gantry::data_error if there is none
void draw_samples(const program_options& o);
