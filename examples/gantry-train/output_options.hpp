// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Flags of the strategy that aggregates outputs of discriminators.
#pragma once

#include <string>

#include "gantry/dist/output_aggregation.hpp"
#include "gantry/io/json.hpp"

/// As they were written.
struct output_options {
  std::string rule{"odds"};
  float lambda{1.0f}, lambda_rate{0.01f}, beta{0.1f};
};

namespace CLI {
class App;
}
struct strategy_options;

void add_output_rule_flags(CLI::App& app, output_options& o);

/// @throws gantry::usage_error for flags that contradict each other
gantry::dist::output_aggregation::config output_aggregation_config(const CLI::App& app,
                                                                   const output_options& o,
                                                                   int fakes, int local_steps);

void add_settings(gantry::io::json::object& all, const strategy_options& o,
                  const gantry::dist::output_aggregation::config& c);
