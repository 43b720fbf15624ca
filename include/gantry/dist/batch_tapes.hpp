// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>

#include "gantry/concepts/backend.hpp"
#include "gantry/concepts/loss.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/penalty_passes.hpp"

namespace gantry::inline v0::dist {

/// Whether a discriminator of these can learn from a real and a generated batch in one pass.
/// A penalty at one of the batches has passes of its own behind that batch's forward; labels and
/// the outputs of a classifier lie in arrays per batch.
template <Topology T, Backend B>
inline constexpr bool pairs_batches = [] {
  if constexpr (TakesPairs<B> && requires { T::discriminator_type::takes_pairs; })
    return T::discriminator_type::takes_pairs && T::classes == 0 &&
           outputs_of<typename T::loss_type> == 1 && !penalises_batches<typename T::loss_type>;
  else
    return false;
}();

/// A discriminator's tapes for a real and a generated batch.
template <class Tape, Backend B, bool Pairs>
struct batch_tapes {
  Tape real, fake;

  batch_tapes(B& b, int batch) : real(b, batch), fake(b, batch) {}
  /// Bytes that an object allocates from its backend.
  static constexpr std::size_t bytes(int batch) {
    return 2 * allocation_bytes<typename B::scalar>(Tape::elements(batch));
  }
  /// Forwards and backwards with a generated batch call `hooks` from now on.
  void watch_fake(const layer_hooks* hooks) { fake.watch(hooks); }
};

/// And one for both in one pass, in the same memory: what it holds ends with the next forward on
/// one of the others, and theirs with its.
template <class Tape, Backend B>
struct batch_tapes<Tape, B, true> {
  typename B::buffer_type memory;
  Tape real, fake, both;

  batch_tapes(B& b, int batch)
      : memory(b.allocate(batch > 0 ? elements(batch) : 0)),  // the tapes refuse it
        real(memory.data(), batch),
        fake(memory.data() + Tape::elements(batch), batch),
        both(memory.data(), 2 * batch) {}
  static constexpr std::size_t bytes(int batch) {
    return allocation_bytes<typename B::scalar>(elements(batch));
  }
  void watch_fake(const layer_hooks* hooks) {
    fake.watch(hooks);
    both.watch(hooks);
  }

 private:
  static constexpr std::size_t elements(int batch) {
    return std::max(2 * Tape::elements(batch), Tape::elements(2 * batch));
  }
};

}  // namespace gantry::dist
