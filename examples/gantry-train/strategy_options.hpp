// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "gantry/io/json.hpp"

#include "averaging_options.hpp"
#include "layerwise_options.hpp"
#include "output_options.hpp"
#include "strategy_list.hpp"

/// The flags of the strategies as they were written; resolve() turns them into `configs`.
struct strategy_options {
  std::string name{"md_gan"};
  int workers{4};
  int local_steps{1}, critic_steps{1};
  std::string k_text{"1"};
  std::string swap{"derangement"}, swap_every{"1"};
  bool moments_travel{false}, statistics_stay{false};
  output_options output;
  averaging_options averaging;
  layerwise_options layerwise;

  strategies::configs configs;  ///< resolved
  template <class S>
  [[nodiscard]] const typename S::config& config() const {
    return std::get<typename S::config>(configs);
  }
  template <class S>
  [[nodiscard]] bool is() const {
    return name == S::name;
  }
  /// Whether the strategy has a server, and so workers.
  [[nodiscard]] bool has_server() const {
    return strategies::visit(name, []<class S>(S) { return bool{S::has_server}; });
  }
  [[nodiscard]] std::string title() const {
    return strategies::visit(name, []<class S>(S) { return std::string(S::title); });
  }
};

namespace CLI {
class App;
}

void add_strategy_flags(CLI::App& app, strategy_options& o);

/// Flags of another strategy are refused, and the rest turned into settings. @throws
/// gantry::usage_error
void resolve_strategy(const CLI::App& app, strategy_options& o);

/// The settings of the chosen strategy that decide a run's result.
void add_strategy_settings(gantry::io::json::object& all, const strategy_options& o);
