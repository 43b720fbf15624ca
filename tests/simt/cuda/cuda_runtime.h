// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Found instead of CUDA's header where kernels are built for the emulator.
#pragma once

#include "simt/graphs.hpp"
#include "simt/ptx.hpp"
