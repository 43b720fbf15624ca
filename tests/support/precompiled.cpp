// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The source that a precompiled header needs to belong to a target.
#include "support/precompiled.hpp"
