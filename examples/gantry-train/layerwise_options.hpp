// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Flags of the strategy that sends networks layer by layer.
#pragma once

#include <string>
#include <vector>

#include "gantry/dist/layerwise_overlap.hpp"
#include "gantry/io/json.hpp"

/// As they were written.
struct layerwise_options {
  std::string overlap{"ready"}, peer_pass{"none"}, step_schedule{"fixed"};
  int fakes_every{1}, bucket{0}, peer_steps{1};
  float peer_weight{100.0f}, replay_share{0.25f};
  bool own_discriminators{false};
};

namespace CLI {
class App;
}
struct strategy_options;

void add_layerwise_flags(CLI::App& app, layerwise_options& o);

/// The flags that no other strategy has.
std::vector<const char*> layerwise_flags();

/// @throws gantry::usage_error for flags that contradict each other
gantry::dist::layerwise_overlap::config layerwise_config(const CLI::App& app,
                                                         const layerwise_options& o,
                                                         gantry::dist::fixed_steps steps,
                                                         gantry::dist::swap_rule order);

void add_settings(gantry::io::json::object& all, const strategy_options& all_flags,
                  const gantry::dist::layerwise_overlap::config& c);
