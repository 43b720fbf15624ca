// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/loss.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/augmentation_control.hpp"
#include "gantry/dist/network_state.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::dist {

/// Losses and outputs of a discriminator's last iterations, on its backend: a step writes them
/// there and waits for nothing, and who wants them reads those of several iterations with one copy.
/// They lie in a ring with a record per iteration: losses of D, of G, of D without penalties, then
/// D(x) of real and of generated samples.
template <Backend B>
class step_records {
 public:
  using scalar = typename B::scalar;
  /// Iterations whose records are kept.
  static constexpr std::uint32_t kept = 32;

  struct record {
    double discriminator_loss{}, generator_loss{};
    learning_signals signals{};
  };

  step_records(B& b, int batch)
      : backend_(&b),
        batch_(static_cast<std::size_t>(batch)),
        values_(b.allocate(kept * stride(batch_))) {}

  /// Bytes that an object allocates from its backend.
  static constexpr std::size_t bytes(int batch) {
    return allocation_bytes<scalar>(kept * stride(static_cast<std::size_t>(batch)));
  }

  /// Where the losses of an iteration go: D's, behind it G's.
  [[nodiscard]] scalar* losses(std::uint32_t iteration) {
    return values_.data() + index(iteration) * stride(batch_);
  }

  /// Keeps D(x) of a learning step.
  void keep_real(const logits<B>& real, std::uint32_t iteration) {
    learned_ = iteration;
    about_[index(iteration)] = {.real = real.count};
    copy(real.value, losses(iteration) + heads, real.count);
  }
  void keep_fake(const logits<B>& fake, std::uint32_t iteration) {
    judged_ = iteration;
    about_[index(iteration)].fake = fake.count;
    copy(fake.value, losses(iteration) + heads + slice(batch_), fake.count);
  }
  /// D's loss so far is that without penalties; after keep_real.
  void keep_plain_loss(std::uint32_t iteration) {
    about_[index(iteration)].penalised = true;
    copy(losses(iteration), losses(iteration) + plain_loss, 1);
  }
  /// The probability of augmentations after a learning step.
  void note_augmentation(const std::optional<float>& probability, std::uint32_t iteration) {
    about_[index(iteration)].augment = probability ? static_cast<double>(*probability) : none;
  }

  /// Waits for the backend and calls f(i, record) for iterations first + i, i below `count`, at
  /// most the last `kept`.
  template <class F>
  void read(std::uint32_t first, std::uint32_t count, F&& f) {
    expects(count <= kept, "more iterations are to be read than are kept; read them earlier");
    host_.resize(kept * stride(batch_));
    if (index(first) + count <= kept)
      download(index(first), count);
    else  // round the end of the ring
      download(0, kept);
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t at = index(first + i);
      f(i, record{static_cast<double>(slot(at)[0]), static_cast<double>(slot(at)[1]),
                  signals_of(at, at)});
    }
  }

  /// Waits for the backend: of the last learning step, with the outputs on generated samples that
  /// came last.
  [[nodiscard]] learning_signals last_signals() {
    host_.resize(kept * stride(batch_));
    download(index(learned_), 1);
    if (judged_ != learned_) download(index(judged_), 1);
    return signals_of(index(learned_), index(judged_));
  }

 private:
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();
  static constexpr std::size_t plain_loss = 2, heads = slice(3);
  /// What the host knows of a record.
  struct host_part {
    std::size_t real{}, fake{};  ///< number of outputs
    bool penalised{};
    double augment{none};
  };

  static constexpr std::size_t stride(std::size_t batch) { return heads + 2 * slice(batch); }
  static constexpr std::uint32_t index(std::uint32_t iteration) { return iteration % kept; }
  [[nodiscard]] const float* slot(std::uint32_t at) const {
    return host_.data() + at * stride(batch_);
  }
  void copy(const scalar* from, scalar* to, std::size_t count) {
    if (count > 0) launch(*backend_, ops::copy{}, {from, to, count});
  }
  void download(std::uint32_t begin, std::uint32_t count) {
    const std::size_t from = begin * stride(batch_);
    backend_->download(values_.data() + from,
                       std::span(host_).subspan(from, count * stride(batch_)));
  }

  [[nodiscard]] learning_signals signals_of(std::uint32_t learned, std::uint32_t judged) const {
    learning_signals seen;
    const auto look = [&seen](std::span<const float> outputs, signal score, signal sign) {
      double sum = 0;
      for (const float v : outputs) sum += static_cast<double>(v);
      seen[score] = outputs.empty() ? none : sum / static_cast<double>(outputs.size());
      seen[sign] = outputs.empty() ? none : mean_sign(outputs);
    };
    const float* const at = slot(learned);
    const host_part& about = about_[learned];
    look({at + heads, about.real}, signal::score_real, signal::sign_real);
    look({slot(judged) + heads + slice(batch_), about_[judged].fake}, signal::score_fake,
         signal::sign_fake);
    seen[signal::penalty] =
        about.penalised ? static_cast<double>(at[0]) - static_cast<double>(at[plain_loss]) : none;
    seen[signal::augment] = about.augment;
    return seen;
  }

  B* backend_;
  std::size_t batch_;
  typename B::buffer_type values_;
  std::array<host_part, kept> about_{};
  std::uint32_t learned_{}, judged_{};  ///< the last iterations with either
  std::vector<float> host_;
};

}  // namespace gantry::dist
