// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "gantry/base/error.hpp"
#include "gantry/concepts/dataset.hpp"
#include "gantry/concepts/strategy.hpp"

namespace gantry::inline v0::dist {

/// What conditional topologies ask of their data.
template <class T, class Source>
struct require_labels {
  static_assert(T::classes == 0 || LabelledSource<Source>,
                "a conditional GAN needs data with labels; give it a source with "
                "labels(step, batch) (concepts/dataset.hpp)");
  static constexpr bool value = true;
};

/// The labels of a real batch, null for topologies without.
/// @throws usage_error for a label that is not below the number of classes
template <Topology T, BatchSource Source>
const std::uint8_t* real_labels(Source& source, std::uint32_t iteration, int batch) {
  if constexpr (T::classes > 0) {
    const std::span<const std::uint8_t> labels = source.labels(iteration, batch);
    for (const std::uint8_t label : labels)
      if (label >= T::classes)
        throw usage_error("the networks know " + std::to_string(T::classes) +
                          " classes and the data has label " + std::to_string(label) +
                          "; use a network with more classes or other data");
    return labels.data();
  } else {
    return nullptr;
  }
}

}  // namespace gantry::dist
