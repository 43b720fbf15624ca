// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <string>

#include "gantry/nn/chain.hpp"

namespace gantry::inline v0::nn {

namespace detail {

struct summary_row {
  std::string name;
  hwc out;
  std::size_t params{};
  double forward_flops{};
};

inline std::string summary_line(const summary_row& r) {
  const std::string extents =
      std::to_string(r.out.h) + " x " + std::to_string(r.out.w) + " x " + std::to_string(r.out.c);
  char line[160];
  std::snprintf(line, sizeof line, "%-40s %-16s %12zu %12.3f %12.1f\n", r.name.c_str(),
                extents.c_str(), r.params, r.forward_flops / 1e6,
                static_cast<double>(r.out.size()) * sizeof(float) / 1024);
  return line;
}

/// The layers of a list, and indented below a layer made of layers, those inside.
template <class Pack>
std::string summary_of(hwc in, const std::string& indent) {
  std::string all;
  const auto shapes = Pack::shapes(in);
  for_each_index<Pack::depth>([&]<std::size_t I>() {
    using layer = typename Pack::template layer_type<I>;
    all += summary_line({indent + std::to_string(I) + " " + std::string(layer::name), shapes[I + 1],
                         layer::param_count(shapes[I]), layer::flops(shapes[I]).forward});
    if constexpr (requires { typename layer::branch_pack; }) {
      all += summary_of<typename layer::branch_pack>(shapes[I], indent + "  branch ");
      all += summary_of<typename layer::shortcut_pack>(shapes[I], indent + "  shortcut ");
    }
  });
  return all;
}

}  // namespace detail

/// A table of a network: per layer its name, what comes out, parameters, millions of FLOPs of a
/// forward and KiB of output, both per sample; the sums in the last line.
template <class Net>
std::string summary() {
  char head[160];
  std::snprintf(head, sizeof head, "%-40s %-16s %12s %12s %12s\n", "layer", "output", "parameters",
                "MFLOP", "KiB");
  // With a name: nvcc 13.0 loses the braces of the object within the call.
  const detail::summary_row all{"all", Net::output_shape, Net::param_count, Net::flops.forward};
  return head + detail::summary_of<typename Net::plan::pack>(Net::input_shape, "") +
         detail::summary_line(all);
}

}  // namespace gantry::nn
