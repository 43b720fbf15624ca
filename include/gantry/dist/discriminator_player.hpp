// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The other player, see generator_player.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "gantry/base/error.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/augmentation_control.hpp"
#include "gantry/dist/batch_tapes.hpp"
#include "gantry/dist/network_state.hpp"
#include "gantry/dist/penalty_passes.hpp"
#include "gantry/dist/step_records.hpp"
#include "gantry/ops/labels.hpp"

namespace gantry::inline v0::dist {

/// Discriminator with a tape for real and one for fake batches, and where it takes pairs one for
/// both in the same memory (batch_tapes.hpp).
template <Topology T, Backend B>
class discriminator_player {
  static_assert(Loss<typename T::loss_type, B>,
                "gan<generator, discriminator, objective, optimizers...>: the third argument must "
                "be an adversarial objective that this backend can compute, such as "
                "loss::non_saturating (concepts/loss.hpp)");

 public:
  using state_type =
      network_state<typename T::discriminator_type, typename T::discriminator_optimizer_type, B>;
  using tape_type = typename T::discriminator_type::template tape<B>;
  using loss_type = typename T::loss_type;
  using const_batch = const_batch_of<typename B::storage>;
  /// Whether learning steps take `real` inputs that are paired with the generated batch.
  static constexpr bool pairs = pairs_batches<T, B>;

  /// Worker w owns player 1 + w's initial weights and random streams. @throws usage_error for
  /// adaptive augmentation under an objective that gives no sign of D(real)
  discriminator_player(B& b, const common_config<T>& common, std::uint32_t worker)
      : backend_(&b),
        worker_(worker),
        seed_(common.seed),
        loss_(common.topology.loss),
        state_(b, common.topology.discriminator, common.topology.discriminator_optimizer),
        tapes_(b, common.batch),
        records_(b, common.batch),
        heads_(b.allocate(head_elements(common.batch))),
        penalties_(b, common.batch, loss_),
        augmentation_(state_.network) {
    expects(!augmentation_.is_on() || !loss_.generator_needs_real(),
            "adaptive augmentation looks at the sign of D(real), which means nothing to a "
            "relativistic objective; give augmentations a fixed probability");
    state_.initialise(b, common.seed, 1 + worker);
  }

  /// Bytes that an object allocates from its backend.
  static constexpr std::size_t bytes(int batch, const loss_type& loss = {}) {
    using scalar = typename B::scalar;
    return state_type::bytes() + tapes_type::bytes(batch) + step_records<B>::bytes(batch) +
           allocation_bytes<scalar>(head_elements(batch)) + penalties_type::bytes(batch, loss);
  }

  /// One learning step on a real and a fake batch; local_step numbers the steps of one iteration.
  /// A `real` that is paired with the fakes goes through the network with them, in one pass: losses
  /// and gradients are those of two passes up to the order of additions.
  /// @returns the loss before the step, penalties included
  double learn(const network_input<B>& real, const network_input<B>& fake, std::uint32_t iteration,
               std::uint32_t local_step) {
    return learn(real, fake, iteration, local_step, [this] { update(); });
  }
  /// The same with another update, which is called when the gradients are complete.
  template <class Update>
  double learn(const network_input<B>& real, const network_input<B>& fake, std::uint32_t iteration,
               std::uint32_t local_step, Update&& update_now) {
    start_learning(real, fake, iteration, local_step, update_now);
    return read(loss_at(iteration));
  }
  /// The same without waiting for the loss, see records.
  template <class Update>
  void start_learning(const network_input<B>& real, const network_input<B>& fake,
                      std::uint32_t iteration, std::uint32_t local_step, Update&& update_now) {
    B& b = *backend_;
    if (real.paired) check_pair(real, fake);
    auto* const sum = loss_at(iteration);
    if (begun_ == progress::none)
      begin_forward(real, iteration, local_step);
    else
      clear(sum);
    const bool has_learned_real = std::exchange(begun_, progress::none) == progress::backward;
    if (!real.paired) forward(fake, tapes_.fake, iteration, 2 * local_step + 1);
    const auto [on_real, on_fake] = learned_heads(real, fake);
    loss_.discriminator(b, on_real, on_fake, sum);
    records_.keep_real(on_real, iteration);
    records_.keep_fake(on_fake, iteration);
    augmentation_.observe(b, on_real);
    if constexpr (HasPenalties<loss_type>) {
      if (penalties_type::active(loss_)) records_.keep_plain_loss(iteration);
      const typename penalties_type::step step{
          state_.network,     state_.values(),
          state_.gradients(), sum,
          state_.step,        random(iteration, penalty_pass - local_step)};
      if (real.paired) {
        learn_real(real);
      } else {
        penalties_.backward(b, loss_, step, penalty_point::real, real.samples, tapes_.real);
        penalties_.backward(b, loss_, step, penalty_point::fake, fake.samples, tapes_.fake);
      }
      penalties_.elsewhere(b, loss_, step, real, fake.samples, tapes_.real);
    } else {
      if (!has_learned_real) learn_real(real);
      if (!real.paired)
        state_.network.backward(b, state_.values(), fake.samples, tapes_.fake, state_.gradients(),
                                {});
    }
    update_now();
    augmentation_.step(state_.network);
    records_.note_augmentation(augment_probability(state_.network), iteration);
  }
  void start_learning(const network_input<B>& real, const network_input<B>& fake,
                      std::uint32_t iteration, std::uint32_t local_step) {
    start_learning(real, fake, iteration, local_step, [this] { update(); });
  }

  /// What of the next learn() needs no fakes, for those who have the real batch earlier: its
  /// forward and, where they are scored apart, its backward. The result is the same, bit for bit.
  /// Not before the first learn(). Running statistics move here, so that who is not going to learn
  /// restores them and calls forget(). @throws usage_error for a `real` that is paired
  void begin_learn(const network_input<B>& real, std::uint32_t iteration,
                   std::uint32_t local_step) {
    expects(!real.paired,
            "a step on a pair begins with both batches; begin_learn with a real "
            "batch that is not paired");
    begin_forward(real, iteration, local_step);
    if constexpr (scores_apart) {
      if (loss_.generator_needs_real()) return;  // neither does its discriminator score them apart
      loss_.discriminator(*backend_, head_of(tapes_.real, 0, nullptr),
                          head_of(tapes_.fake, 1, nullptr), loss_at(iteration));
      learn_real(real);
      begun_ = progress::backward;
    }
  }
  void forget() { begun_ = progress::none; }
  /// Whether begin_learn has a backward too, for objectives that do not compare.
  static constexpr bool scores_apart = !HasPenalties<loss_type> && outputs_of<loss_type> == 1;

  /// One optimizer step; or begin_step of the state, and then each part by itself.
  void update() {
    state_.update(*backend_);
    loss_.constrain(*backend_, state_.values().params);
  }
  void update_part(const layer_slice& part) {
    state_.step_part(*backend_, part);
    loss_.constrain(*backend_, state_.values().params.subspan(part.first_param, part.params));
  }
  /// Whether the backward on the fake batch, the last of a step, completes the gradients layer by
  /// layer; penalties add to all of them afterwards.
  static constexpr bool backward_completes = !HasPenalties<loss_type>;
  /// Calls `hooks` on the way through the layers with fake batches from now on; null: nobody.
  void watch(const layer_hooks* hooks) { tapes_.watch_fake(hooks); }

  /// The feedback of MD-GAN (arXiv 1811.03850, section IV-B2): writes the derivative of the
  /// generator's mean loss by each image of `fake`. No parameter gradient is computed; `real` is
  /// looked at by relativistic objectives only. @returns the generator's loss
  double feedback(const network_input<B>& real, const network_input<B>& fake,
                  batch_of<typename B::storage> gradient, std::uint32_t iteration) {
    clear(generator_loss_at(iteration));
    start_feedback(real, fake, gradient, iteration);
    return read(generator_loss_at(iteration));
  }
  /// The same without waiting for the loss; comes after start_learning of the same iteration, which
  /// has cleared where it goes.
  void start_feedback(const network_input<B>& real, const network_input<B>& fake,
                      batch_of<typename B::storage> gradient, std::uint32_t iteration) {
    B& b = *backend_;
    auto* const sum = generator_loss_at(iteration);
    forward(fake, tapes_.fake, iteration, feedback_pass);
    if (loss_.generator_needs_real()) forward(real, tapes_.real, iteration, feedback_real_pass);
    const head on_fake = head_of(tapes_.fake, 1, fake.labels);
    loss_.generator(b, head_of(tapes_.real, 0, nullptr), on_fake, sum);
    records_.keep_fake(on_fake, iteration);
    state_.network.backward(b, state_.values(), fake.samples, tapes_.fake, {}, gradient);
  }

  /// What start_learning and start_feedback leave on the backend.
  [[nodiscard]] step_records<B>& records() { return records_; }

  /// The outputs on generated images, one for each, as `feedback` sees them: for strategies that
  /// combine those of several discriminators. `image_gradient` is the way back.
  void judge(const network_input<B>& fake, std::uint32_t iteration, std::span<float> outputs) {
    forward(fake, tapes_.fake, iteration, feedback_pass);
    const head on_fake = head_of(tapes_.fake, 1, fake.labels);
    if constexpr (has_classifier) loss_type::take_first(*backend_, on_fake);
    records_.keep_fake(on_fake, iteration);
    backend_->download(on_fake.value, outputs);
  }

  /// From the derivative of a loss by the outputs of judge(), which came last, to that by each
  /// image. An auxiliary classifier adds `share` times its own term. @returns what it added
  double image_gradient(const network_input<B>& fake, std::span<const float> slopes, float share,
                        batch_of<typename B::storage> gradient) {
    B& b = *backend_;
    auto* const sum = generator_loss_at(0);
    clear(sum);
    const head on_fake = head_of(tapes_.fake, 1, fake.labels);
    b.upload(slopes, on_fake.gradient);
    if constexpr (has_classifier)
      loss_type::classify(b, on_fake, share * loss_.generator_weight, sum);
    state_.network.backward(b, state_.values(), fake.samples, tapes_.fake, {}, gradient);
    return has_classifier ? read(sum) : 0.0;
  }

  [[nodiscard]] state_type& state() { return state_; }
  /// What was seen last: D(x) of real samples and penalties in the last learning step, D(x) of
  /// generated ones, which may have come later. Waits for the backend.
  [[nodiscard]] learning_signals signals() { return records_.last_signals(); }
  /// The probability of adaptive augmentations, empty where it is fixed.
  [[nodiscard]] const std::optional<adaptive_probability>& augmentation() const {
    return augmentation_.now();
  }
  /// Calls f(name, vector of float) for what a checkpoint must hold besides state(); f may write
  /// what it has read. A player's own, so it stays when discriminators are swapped.
  template <class F>
  void visit_values(F&& f) {
    augmentation_.visit_values(state_.network, f);
  }

 private:
  using tapes_type = batch_tapes<tape_type, B, pairs>;
  using penalties_type = penalty_passes<typename T::discriminator_type, typename T::loss_type, B>;
  /// Numbers of forwards, for random streams; learning steps count from 0, penalties' forwards from
  /// penalty_pass downwards.
  static constexpr std::uint32_t feedback_pass = 0xFFFE, feedback_real_pass = 0xFFFD,
                                 penalty_pass = 0xFFFC;

  void check_pair(const network_input<B>& real, const network_input<B>& fake) const {
    using layout = typename B::storage::layout;
    expects(pairs && begun_ == progress::none,
            "this discriminator takes a pass for each batch; give it a real batch that is not "
            "paired");
    expects(real.samples.n == fake.samples.n &&
                fake.samples.data ==
                    real.samples.data + layout::elements(T::sample_shape, real.samples.n),
            "the generated batch of a pair was expected right behind the real one and as large");
  }
  [[nodiscard]] stream_id random(std::uint32_t iteration, std::uint32_t pass) const {
    return {
        .seed = seed_, .step = iteration, .worker = worker_, .use = purpose::dropout, .salt = pass};
  }
  void forward(const network_input<B>& x, tape_type& tape, std::uint32_t iteration,
               std::uint32_t pass) {
    state_.network.forward(*backend_, state_.values(), x, tape, mode::train,
                           random(iteration, pass));
  }
  void begin_forward(const network_input<B>& real, std::uint32_t iteration,
                     std::uint32_t local_step) {
    state_.clear_gradients(*backend_, {loss_at(iteration), 2});
    forward(real, first_tape(real), iteration, 2 * local_step);
    begun_ = progress::forward;
  }
  void learn_real(const network_input<B>& real) {
    state_.network.backward(*backend_, state_.values(), real.samples, first_tape(real),
                            state_.gradients(), {});
  }
  tape_type& first_tape([[maybe_unused]] const network_input<B>& real) {
    if constexpr (pairs)
      if (real.paired) return tapes_.both;
    return tapes_.real;
  }
  /// The outputs of an auxiliary classifier lie between the logits, which the loss brings together.
  static constexpr bool has_classifier = outputs_of<loss_type> > 1;
  static constexpr std::size_t head_elements(int n) {
    return has_classifier ? 4 * slice(static_cast<std::size_t>(n)) : 0;
  }
  using head = std::conditional_t<has_classifier, labelled_logits<B>, logits<B>>;
  head head_of(tape_type& tape, std::size_t slot, const std::uint8_t* labels) {
    const auto n = static_cast<std::size_t>(tape.output().n);
    if constexpr (has_classifier) {
      auto* const first = heads_.data() + 2 * slot * slice(n);
      return {{first, first + slice(n), n}, tape.output(), tape.output_gradient(), labels, first};
    } else {
      return {tape.output().data, tape.output_gradient().data, n};
    }
  }
  /// On the real and on the generated batch of a learning step.
  std::pair<head, head> learned_heads(const network_input<B>& real, const network_input<B>& fake) {
    if constexpr (pairs)
      if (real.paired) {
        const head all = head_of(tapes_.both, 0, nullptr);
        const std::size_t n = all.count / 2;
        return {{all.value, all.gradient, n}, {all.value + n, all.gradient + n, n}};
      }
    return {head_of(tapes_.real, 0, real.labels), head_of(tapes_.fake, 1, fake.labels)};
  }
  /// Losses of an iteration: D's, then G's.
  typename B::scalar* loss_at(std::uint32_t iteration) { return records_.losses(iteration); }
  typename B::scalar* generator_loss_at(std::uint32_t iteration) { return loss_at(iteration) + 1; }
  void clear(typename B::scalar* sum) { launch(*backend_, ops::fill{}, {sum, 1, 0.0f}); }
  double read(const typename B::scalar* sum) {
    float value = 0;
    backend_->download(sum, {&value, 1});
    return static_cast<double>(value);
  }

  B* backend_;
  std::uint32_t worker_;
  std::uint64_t seed_;
  typename T::loss_type loss_;
  state_type state_;
  tapes_type tapes_;
  step_records<B> records_;
  typename B::buffer_type heads_;
  penalties_type penalties_;
  augmentation_control augmentation_;
  enum class progress { none, forward, backward } begun_{progress::none};  // of the next step
};

}  // namespace gantry::dist
