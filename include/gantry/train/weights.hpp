// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "gantry/concepts/backend.hpp"
#include "gantry/concepts/layer.hpp"
#include "gantry/dist/network_state.hpp"

namespace gantry::inline v0::train {

/// Called with the name of a tensor and its values as they are stored.
using tensor_visitor = std::function<void(const std::string&, std::span<const float>)>;

/// Shows the parameters of a network: "generator/main.0.weight". Running statistics are left out.
template <class Net, class Opt, Backend B>
void visit_weights(B& b, const std::string& name, const dist::network_state<Net, Opt, B>& state,
                   const tensor_visitor& visit) {
  std::vector<float> params(Net::param_count);
  b.download(state.values().params.data(), params);
  for (const tensor_info& t : Net::tensors())
    if (!t.is_buffer)
      visit(name + "/" + t.name, std::span<const float>(params).subspan(t.offset, t.size()));
}

}  // namespace gantry::train
