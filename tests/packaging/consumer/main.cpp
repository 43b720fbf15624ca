// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/gantry.hpp"

int main() { return static_cast<int>(gantry::exit_code::done); }
