// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What keeps a discriminator from forgetting what it learned elsewhere, when it goes on learning on
// another worker. EntGAN asks for "a continual-learning method" and names none.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gantry/base/rng.hpp"
#include "gantry/concepts/network.hpp"

namespace gantry::inline v0::dist {

/// Elastic weight consolidation (Kirkpatrick et al., arXiv 1612.00796, eq. 3): the penalty
/// lambda / 2 sum_i F_i (phi_i - phi*_i)^2. F, the diagonal of the Fisher matrix, is estimated as
/// the running mean of the squared gradients of whole batches; it belongs to the parameters that
/// the gradients were taken at and travels with them. Everything is kept on the host.
class elastic_consolidation {
 public:
  /// Of `params` parameters; 0 keeps nothing.
  explicit elastic_consolidation(std::size_t params)
      : fisher_(params), anchor_(params), scratch_(params), gradient_(params) {}
  static constexpr std::size_t bytes(std::size_t params) { return 4 * params * sizeof(float); }

  /// Takes in the gradient of one step; `decay` is the weight of the past.
  template <Backend B>
  void observe(B& b, std::span<const typename B::scalar> gradient, float decay) {
    b.download(gradient.data(), gradient_);
    for (std::size_t i = 0; i < fisher_.size(); ++i)
      fisher_[i] = decay * fisher_[i] + (1.0f - decay) * gradient_[i] * gradient_[i];
  }
  /// phi*: the parameters as they are now.
  template <Backend B>
  void set_anchor(B& b, std::span<const typename B::scalar> params) {
    b.download(params.data(), anchor_);
  }
  /// Adds lambda F (phi - phi*) to the gradient.
  template <Backend B>
  void add_penalty(B& b, float lambda, std::span<const typename B::scalar> params,
                   std::span<typename B::scalar> gradient) {
    b.download(params.data(), scratch_);
    b.download(gradient.data(), gradient_);
    for (std::size_t i = 0; i < fisher_.size(); ++i)
      gradient_[i] += lambda * fisher_[i] * (scratch_[i] - anchor_[i]);
    b.upload(gradient_, gradient.data());
  }

  [[nodiscard]] std::vector<float>& fisher() { return fisher_; }

 private:
  std::vector<float> fisher_, anchor_, scratch_, gradient_;
};

/// A bounded memory of a worker's earlier fakes (replay): a ring of single samples, each with its
/// label behind it. Real samples never come here.
class fake_memory {
 public:
  fake_memory(int capacity, std::size_t image_size)
      : image_(image_size), ring_(static_cast<std::size_t>(capacity) * row()) {}
  static constexpr std::size_t bytes(int capacity, std::size_t image_size) {
    return static_cast<std::size_t>(capacity) * (image_size + 1) * sizeof(float);
  }

  /// Remembers the first `count` of these samples; the oldest make room. Labels may be null.
  void keep(std::span<const float> images, const std::uint8_t* labels, std::size_t count) {
    const std::size_t capacity = ring_.size() / row();
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = seen() % capacity;
      const auto target = ring_.begin() + static_cast<std::ptrdiff_t>(at * row());
      std::ranges::copy(images.subspan(i * image_, image_), target);
      target[static_cast<std::ptrdiff_t>(image_)] = labels ? labels[i] : 0.0f;
      // Counted modulo twice the capacity, which a float holds exactly.
      const std::size_t next = seen() + 1;
      state_[0] = static_cast<float>(next < 2 * capacity ? next : next - capacity);
    }
  }
  /// Overwrites the first `count` samples with remembered ones, drawn with replacement. Does
  /// nothing while there are none.
  void mix(std::span<float> images, std::uint8_t* labels, std::size_t count,
           const stream_id& id) const {
    const std::size_t known = std::min(seen(), ring_.size() / row());
    if (known == 0) return;
    random_sequence draw(id);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = draw.below(static_cast<std::uint32_t>(known));
      const auto source = ring_.begin() + static_cast<std::ptrdiff_t>(at * row());
      std::copy_n(source, image_, images.begin() + static_cast<std::ptrdiff_t>(i * image_));
      if (labels)
        labels[i] = static_cast<std::uint8_t>(source[static_cast<std::ptrdiff_t>(image_)]);
    }
  }

  void visit_values(auto&& f) {
    f("replay", ring_);
    f("replay_count", state_);
  }

 private:
  [[nodiscard]] std::size_t row() const { return image_ + 1; }
  [[nodiscard]] std::size_t seen() const { return static_cast<std::size_t>(state_[0]); }

  std::size_t image_;
  std::vector<float> ring_;
  std::vector<float> state_{0.0f};
};

}  // namespace gantry::dist
