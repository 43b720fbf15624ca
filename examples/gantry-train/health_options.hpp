// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Flags of what happens when a rank is late or lost, and the faults with which to try it.
#pragma once

#include <string>
#include <vector>

#include "gantry/comm/health.hpp"
#include "gantry/train/trainer.hpp"

struct health_options {
  std::string when_late{"wait"};
  double patience{5};
  std::vector<std::string> stop_worker, pause_worker;
  bool revive{false};
  bool is_given{false};  ///< when_late or patience

  std::vector<gantry::train::planned_stop> stops;  ///< resolved
  std::vector<gantry::train::planned_pause> pauses;
};

namespace CLI {
class App;
}
struct strategy_options;

void add_health_flags(CLI::App& app, health_options& o);

/// @throws gantry::usage_error
void resolve_health(const CLI::App& app, health_options& o, const strategy_options& strategy);

/// As a transport takes it on rank 0.
gantry::comm::patience patience_of(const health_options& o);

/// Whether a rank was lost in this process's run and --when-late says that it then ends.
bool ends_with_loss(const health_options& o);
