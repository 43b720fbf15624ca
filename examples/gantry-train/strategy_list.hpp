// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The strategies of this program. A new one is a line here, its flags in strategy_options.cpp, and
// nothing else.
#pragma once

#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/dist/averaged_discriminator.hpp"
#include "gantry/dist/federated_average.hpp"
#include "gantry/dist/label_parallel.hpp"
#include "gantry/dist/layerwise_overlap.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/output_aggregation.hpp"
#include "gantry/dist/standalone.hpp"

template <class... S>
struct strategy_pack {
  /// The settings of every strategy; those of the chosen one count.
  using configs = std::tuple<typename S::config...>;

  static std::vector<std::string> names() { return {std::string(S::name)...}; }

  /// f(S{}) for the strategy of that name.
  template <class F>
  static auto visit(std::string_view name, F&& f) {
    using first = std::tuple_element_t<0, std::tuple<S...>>;
    using result = std::invoke_result_t<F&, first>;
    if constexpr (std::is_void_v<result>) {
      if (!((S::name == name && (f(S{}), true)) || ...)) unknown(name);
    } else {
      result found{};
      if (!((S::name == name && (found = f(S{}), true)) || ...)) unknown(name);
      return found;
    }
  }

 private:
  [[noreturn]] static void unknown(std::string_view name) {
    std::string all;
    for (const std::string& s : names()) all += (all.empty() ? "" : ", ") + s;
    throw gantry::usage_error("--strategy was expected to be a strategy of this program and is \"" +
                              std::string(name) + "\"; give one of " + all);
  }
};

using strategies =
    strategy_pack<gantry::dist::md_gan, gantry::dist::standalone, gantry::dist::federated_average,
                  gantry::dist::averaged_discriminator, gantry::dist::layerwise_overlap,
                  gantry::dist::label_parallel, gantry::dist::output_aggregation>;
