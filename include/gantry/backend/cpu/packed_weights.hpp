// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Weights in the order of a product's kernel, kept from launch to launch. A backend sees weights
// only as memory that anyone may write (an optimizer, a message, a checkpoint, an average), so it
// keeps a copy of what it packed and compares every bit before it uses the packed form again:
// nobody has to tell it that parameters have changed. Reading twice costs a third of packing.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "gantry/tensor/buffer.hpp"

namespace gantry::inline v0::backend {

/// What one backend object has packed. A copied backend starts without.
class packed_weights {
 public:
  packed_weights() = default;
  packed_weights(const packed_weights&) {}
  packed_weights(packed_weights&&) noexcept = default;
  packed_weights& operator=(const packed_weights&) {
    clear();
    return *this;
  }
  packed_weights& operator=(packed_weights&&) noexcept = default;
  ~packed_weights() = default;

  static constexpr std::size_t keep_none = static_cast<std::size_t>(-1);

  /// Packed forms of at least so many bytes are kept. Others are packed in every launch, into
  /// memory that all nodes of a thread share: what comes fresh out of the second-level cache is
  /// about as fast as what comes back from memory, and takes no bytes per node
  /// (docs/05_cpu_kernels.md has the measurement).
  std::size_t kept_from{keep_none};

  /// The `count` weights in the given form of `size` floats, packed by pack(to) unless they have
  /// been and are the same still. `form` is an address that stands for the form.
  template <class B, class Pack>
  const float* get(B& b, std::pair<const float*, std::size_t> weight, const void* form,
                   std::size_t size, Pack&& pack) {
    const std::size_t s = source_of(weight);
    follow(b, sources_[s]);
    packing& p = packing_of(s, form);
    if (p.data.size() != size) p = {s, form, 0, host_buffer<float>(size, nullptr)};
    if (p.version != sources_[s].version) {
      pack(p.data.data());
      p.version = sources_[s].version;
    }
    return p.data.data();
  }

  void clear() {
    sources_.clear();
    packings_.clear();
  }
  /// Bytes that copies and packed forms take.
  [[nodiscard]] std::size_t bytes() const {
    std::size_t floats = 0;
    for (const source& s : sources_) floats += s.copy.size();
    for (const packing& p : packings_) floats += p.data.size();
    return floats * sizeof(float);
  }

 private:
  /// More weight tensors than this are those of a node that makes networks and drops them.
  static constexpr std::size_t most_sources = 256;
  static constexpr std::size_t compared_at_once = 32768;

  struct source {
    const float* weight;
    std::uint64_t version;  ///< 0 before the first comparison
    host_buffer<float> copy;
  };
  struct packing {
    std::size_t source;
    const void* form;
    std::uint64_t version;  ///< that of the source when it was packed
    host_buffer<float> data;
  };

  std::size_t source_of(std::pair<const float*, std::size_t> weight) {
    for (std::size_t i = 0; i < sources_.size(); ++i)
      if (sources_[i].weight == weight.first && sources_[i].copy.size() == weight.second) return i;
    if (sources_.size() == most_sources) clear();
    sources_.push_back({weight.first, 0, host_buffer<float>(weight.second, nullptr)});
    return sources_.size() - 1;
  }
  packing& packing_of(std::size_t of, const void* form) {
    for (packing& p : packings_)
      if (p.source == of && p.form == form) return p;
    return packings_.emplace_back(packing{of, form, 0, {}});
  }

  /// Brings the copy up to date; a new version where it was not.
  template <class B>
  static void follow(B& b, source& s) {
    std::atomic<bool> changed{s.version == 0};
    b.split(s.copy.size(), compared_at_once, [&](std::size_t begin, std::size_t end) {
      const std::size_t bytes = (end - begin) * sizeof(float);
      if (std::memcmp(s.copy.data() + begin, s.weight + begin, bytes) == 0) return;
      std::memcpy(s.copy.data() + begin, s.weight + begin, bytes);
      changed.store(true, std::memory_order_relaxed);
    });
    if (changed.load()) ++s.version;
  }

  std::vector<source> sources_;
  std::vector<packing> packings_;
};

}  // namespace gantry::backend
