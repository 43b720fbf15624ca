// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/augmentation.hpp"
#include "gantry/concepts/loss.hpp"

namespace gantry::inline v0::dist {

/// Adaptive discriminator augmentation (Karras et al., arXiv 2006.06676, section 3.1) of one
/// discriminator: watches the sign of D(real) and, every few learning steps, moves the probability
/// of its augmentations. Does nothing for networks that ask for none.
class augmentation_control {
 public:
  /// Sets the probability that the network starts with.
  template <class Net>
  explicit augmentation_control(Net& net) : now_(adaptive_augmentation(net)) {
    if (!now_) return;
    expects(now_->every >= 1 && now_->images >= 1,
            "adaptive augmentation: the steps between two adjustments and the images from "
            "probability 0 to 1 must be at least 1");
    set_augment_probability(net, now_->value);
  }

  [[nodiscard]] bool is_on() const { return now_.has_value(); }
  /// Empty where the probability is fixed.
  [[nodiscard]] const std::optional<adaptive_probability>& now() const { return now_; }

  /// Counts the signs of a real batch's logits.
  template <Backend B>
  void observe(B& b, const logits<B>& real) {
    if (!now_) return;
    values_.resize(real.count);
    b.download(real.value, values_);
    const auto count = static_cast<double>(real.count);
    signs_ += static_cast<float>(mean_sign(std::span<const float>(values_)) * count);
    images_ += static_cast<float>(real.count);
  }

  /// Ends a learning step, whose backward is done.
  template <class Net>
  void step(Net& net) {
    if (!now_) return;
    steps_ += 1;
    if (steps_ < static_cast<float>(now_->every)) return;
    now_ = now_->updated(static_cast<double>(signs_ / images_), static_cast<std::int64_t>(images_));
    signs_ = images_ = steps_ = 0;
    set_augment_probability(net, now_->value);
  }

  /// Calls f(name, values) with what a resumed run has to go on with; what f leaves in the vector
  /// is taken over. Nothing is called where the probability is fixed.
  /// @throws data_error if f changes the number of values
  template <class Net, class F>
  void visit_values(Net& net, F&& f) {
    if (!now_) return;
    std::vector<float> state{now_->value, signs_, images_, steps_};
    f(std::string("augment_probability"), state);
    if (state.size() != 4)
      throw data_error("the state of adaptive augmentation was expected to be 4 numbers and is " +
                       std::to_string(state.size()) + "; resume from an undamaged checkpoint");
    now_->value = state[0];
    signs_ = state[1];
    images_ = state[2];
    steps_ = state[3];
    set_augment_probability(net, now_->value);
  }

 private:
  std::optional<adaptive_probability> now_;
  float signs_{}, images_{}, steps_{};  ///< since the last adjustment; whole numbers
  std::vector<float> values_;
};

}  // namespace gantry::dist
