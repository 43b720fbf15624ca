// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Flags of the strategies that average networks.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/dist/averaged_discriminator.hpp"
#include "gantry/dist/federated_average.hpp"
#include "gantry/io/json.hpp"

/// As they were written.
struct averaging_options {
  int local_updates{1}, weak_workers{0}, server_steps{1}, wrong_workers{0};
  double local_epochs{1}, fraction{1}, snr{10};
  double staleness_alpha{0.5}, staleness_decay{0.5}, staleness_free{4};
  std::string average{"both"}, updates{"alternating"}, weights{"size"}, participation{"all"};
  std::string staleness{"none"}, aggregation{"mean"}, schedule{"serial"}, scheduling{"all"};
  bool moments{false}, statistics_stay{false};
};

namespace CLI {
class App;
}
struct strategy_options;

void add_averaging_flags(CLI::App& app, averaging_options& o);

/// Each flag, and the strategies that have it.
std::vector<std::pair<const char*, std::vector<std::string_view>>> averaging_flags();

/// How vectors of several workers are brought together. @throws gantry::usage_error
gantry::dist::aggregation resolve_aggregation(const averaging_options& o);

/// @throws gantry::usage_error for flags that contradict each other
gantry::dist::federated_average::config federated_average_config(const CLI::App& app,
                                                                 const averaging_options& o);
gantry::dist::averaged_discriminator::config averaged_discriminator_config(
    const CLI::App& app, const averaging_options& o);

void add_settings(gantry::io::json::object& all, const strategy_options& o,
                  const gantry::dist::federated_average::config& c);
void add_settings(gantry::io::json::object& all, const strategy_options& o,
                  const gantry::dist::averaged_discriminator::config& c);
