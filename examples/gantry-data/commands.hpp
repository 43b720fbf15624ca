// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "data_options.hpp"

/// Prints what a data set holds and writes a contact sheet.
/// @throws gantry::data_error for one that cannot be read, gantry::error if the sheet cannot be
/// written
void inspect(const data_options& o);

/// Prints how many samples of which label each worker would get, and writes a page with bars.
/// @throws gantry::usage_error for a split that is not possible
void preview_partition(const data_options& o);

/// A name of a stranger's class without what could steer a terminal.
std::string printable_name(std::string name);
