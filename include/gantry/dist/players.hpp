// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The two players of a GAN, each with its network and the tapes of one round; strategies are
// written in terms of these.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/dataset.hpp"
#include "gantry/concepts/strategy.hpp"
#include "gantry/dist/augmentation_control.hpp"
#include "gantry/dist/batch_tapes.hpp"
#include "gantry/dist/network_state.hpp"
#include "gantry/dist/penalty_passes.hpp"
#include "gantry/dist/step_records.hpp"
#include "gantry/ops/draw.hpp"
#include "gantry/ops/labels.hpp"

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

/// Generator with `batches` tapes, so that several batches can wait for their feedback.
template <Topology T, Backend B>
class generator_player {
 public:
  using state_type =
      network_state<typename T::generator_type, typename T::generator_optimizer_type, B>;
  using tape_type = typename T::generator_type::template tape<B>;
  static constexpr hwc latent_shape = T::latent_shape, sample_shape = T::sample_shape;

  /// Worker w's generator starts from the same weights as any other and draws from streams of its
  /// own.
  generator_player(B& b, const common_config<T>& common, int batches, std::uint32_t worker = 0)
      : backend_(&b),
        batch_(common.batch),
        worker_(worker),
        state_(b, common.topology.generator, common.topology.generator_optimizer) {
    state_.initialise(b, common.seed, 0);
    for (int j = 0; j < batches; ++j) {
      tapes_.push_back(std::make_unique<tape_type>(b, batch_));
      latents_.push_back(b.allocate(latent_elements(batch_)));
      labels_.emplace_back(T::classes > 0 ? static_cast<std::size_t>(batch_) : 0);
    }
    if (!draws_latents)
      host_latents_.resize(static_cast<std::size_t>(batch_) * latent_shape.size());
  }

  /// Bytes that an object allocates from its backend.
  static constexpr std::size_t bytes(int batch, int batches) {
    using scalar = typename B::scalar;
    return state_type::bytes() + static_cast<std::size_t>(batches) *
                                     (allocation_bytes<scalar>(tape_type::elements(batch)) +
                                      allocation_bytes<scalar>(latent_elements(batch)));
  }

  /// Batch j of an index: latents, and for conditional networks classes, from the streams of
  /// (index, worker, j), one forward in training mode.
  batch_of<typename B::storage> generate(std::uint64_t seed, std::uint32_t index, std::uint32_t j) {
    return generate_as(j, seed, index, j);
  }
  /// Batch j from the streams of another, `name`.
  batch_of<typename B::storage> generate_as(std::uint32_t name, std::uint64_t seed,
                                            std::uint32_t index, std::uint32_t j) {
    const std::uint32_t stream = name | worker_ << 16;
    if constexpr (T::classes > 0) {
      random_sequence draw(
          {.seed = seed, .step = index, .worker = stream, .use = purpose::latent, .salt = 1});
      for (std::uint8_t& label : labels_[j])
        label = static_cast<std::uint8_t>(draw.below(T::classes));
    }
    const batch_of<typename B::storage> z{latents_[j].data(), batch_};
    const stream_id normal{.seed = seed, .step = index, .worker = stream, .use = purpose::latent};
    if constexpr (draws_latents) {
      launch(*backend_, ops::draw_normal<latent_shape>{}, {z, normal});
    } else {
      fill_normal(std::span<float>(host_latents_), normal);
      launch(*backend_, ops::import_samples<latent_shape>{}, {host_latents_.data(), z});
    }
    state_.network.forward(
        *backend_, state_.values(), {z, labels(j)}, *tapes_[j], mode::train,
        {.seed = seed, .step = index, .worker = stream, .use = purpose::dropout, .salt = 0xFFFF});
    return tapes_[j]->output();
  }

  /// Classes of batch j, null for networks without.
  [[nodiscard]] const std::uint8_t* labels(std::size_t j) const {
    return labels_[j].empty() ? nullptr : labels_[j].data();
  }
  /// The images of batch j, as `generate` left them.
  batch_of<typename B::storage> images(std::size_t j) { return tapes_[j]->output(); }
  /// Where the derivative of the loss by the images of batch j goes before `learn`.
  batch_of<typename B::storage> image_gradient(std::size_t j) {
    return tapes_[j]->output_gradient();
  }

  /// Images of batch j go into the caller's memory from now on.
  void place_images(std::size_t j, typename B::scalar* where) { tapes_[j]->place_output(where); }

  /// Calls `hooks` on the way through the layers with batch j from now on; null: nobody.
  void watch(const layer_hooks* hooks, std::size_t j = 0) { tapes_[j]->watch(hooks); }

  void begin_update() { state_.clear_gradients(*backend_); }
  /// Adds the parameter gradient of batch j; what image_gradient(j) held is gone.
  void learn(std::size_t j) {
    state_.network.backward_in_place(*backend_, state_.values(), {latents_[j].data(), batch_},
                                     *tapes_[j], state_.gradients());
  }
  void update() { state_.update(*backend_); }

  /// Images of given latents ([n][latent] to [n][h][w][c]) by the averaged generator in evaluation
  /// mode; latent i of a conditional network gets class i modulo their number. Uses tape 0, so only
  /// between rounds. @throws usage_error if the sizes do not fit
  void sample(std::span<const float> latents, std::span<float> images) {
    const std::size_t total = latents.size() / latent_shape.size();
    expects(
        latents.size() % latent_shape.size() == 0 && images.size() == total * sample_shape.size(),
        "sampling needs whole latents and room for exactly one image each; give n times the "
        "latent size and n times the image size");
    for (std::size_t first = 0; first < total; first += static_cast<std::size_t>(batch_)) {
      const int n = static_cast<int>(std::min(total - first, static_cast<std::size_t>(batch_)));
      const batch_of<typename B::storage> z{latents_[0].data(), n};
      launch(*backend_, ops::import_samples<latent_shape>{},
             {latents.data() + first * latent_shape.size(), z});
      for (std::size_t i = 0; i < labels_[0].size(); ++i)
        labels_[0][i] = static_cast<std::uint8_t>((first + i) % std::max(1, T::classes));
      state_.network.forward(*backend_, state_.averaged_values(), {z, labels(0)}, *tapes_[0],
                             mode::evaluate, {});
      launch(*backend_, ops::export_samples<sample_shape>{},
             {tapes_[0]->output(), images.data() + first * sample_shape.size(), 1.0f});
    }
    backend_->synchronize();
  }

  [[nodiscard]] state_type& state() { return state_; }

 private:
  /// Else the host draws them and sends them.
  static constexpr bool draws_latents = Implements<B, ops::draw_normal<latent_shape>>;
  static constexpr std::size_t latent_elements(int n) {
    return B::storage::layout::elements(latent_shape, n);
  }

  B* backend_;
  int batch_;
  std::uint32_t worker_;
  state_type state_;
  std::vector<std::unique_ptr<tape_type>> tapes_;
  std::vector<typename B::buffer_type> latents_;
  std::vector<std::vector<std::uint8_t>> labels_;
  std::vector<float> host_latents_;
};

/// Discriminator with a tape for real and one for fake batches.
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
    auto* const sum = loss_at(iteration);
    if (begun_ == progress::none)
      begin_forward(real, iteration, local_step);
    else
      clear(sum);
    const bool has_learned_real = std::exchange(begun_, progress::none) == progress::backward;
    if (!real.paired) forward(fake, tapes_.fake, iteration, 2 * local_step + 1);
    const auto [on_real, on_fake] = learned_logits(real.paired);
    loss_.discriminator(b, on_real, on_fake, sum);
    records_.keep_real(on_real, iteration);
    records_.keep_fake(on_fake, iteration);
    if constexpr (has_classifier) {
      classify(tapes_.real, on_real, real.labels, loss_.discriminator_weight, sum);
      classify(tapes_.fake, on_fake, fake.labels, loss_.discriminator_weight, sum);
    }
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
  /// restores them and calls forget().
  void begin_learn(const network_input<B>& real, std::uint32_t iteration,
                   std::uint32_t local_step) {
    begin_forward(real, iteration, local_step);
    if constexpr (scores_apart) {
      if (loss_.generator_needs_real()) return;  // neither does its discriminator score them apart
      loss_.discriminator(*backend_, logits_of(tapes_.real, 0), logits_of(tapes_.fake, 1),
                          loss_at(iteration));
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
    const logits<B> on_fake = logits_of(tapes_.fake, 1);
    loss_.generator(b, logits_of(tapes_.real, 0), on_fake, sum);
    records_.keep_fake(on_fake, iteration);
    if constexpr (has_classifier)
      classify(tapes_.fake, on_fake, fake.labels, loss_.generator_weight, sum);
    state_.network.backward(b, state_.values(), fake.samples, tapes_.fake, {}, gradient);
  }

  /// What start_learning and start_feedback leave on the backend.
  [[nodiscard]] step_records<B>& records() { return records_; }

  /// The outputs on generated images, one for each, as `feedback` sees them: for strategies that
  /// combine those of several discriminators. `image_gradient` is the way back.
  void judge(const network_input<B>& fake, std::uint32_t iteration, std::span<float> outputs) {
    forward(fake, tapes_.fake, iteration, feedback_pass);
    const logits<B> on_fake = logits_of(tapes_.fake, 1);
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
    const logits<B> on_fake = logits_of(tapes_.fake, 1);
    b.upload(slopes, on_fake.gradient);
    if constexpr (has_classifier)
      classify(tapes_.fake, on_fake, fake.labels, share * loss_.generator_weight, sum);
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
  /// On the real and on the generated batch of a learning step.
  std::pair<logits<B>, logits<B>> learned_logits([[maybe_unused]] bool paired) {
    if constexpr (pairs)
      if (paired) {
        const logits<B> all = logits_of(tapes_.both, 0);
        const std::size_t n = all.count / 2;
        return {{all.value, all.gradient, n}, {all.value + n, all.gradient + n, n}};
      }
    return {logits_of(tapes_.real, 0), logits_of(tapes_.fake, 1)};
  }
  /// The outputs of an auxiliary classifier lie between the logits, which are brought together.
  static constexpr bool has_classifier = outputs_of<loss_type> > 1;
  static constexpr std::size_t head_elements(int n) {
    return has_classifier ? 4 * slice(static_cast<std::size_t>(n)) : 0;
  }
  logits<B> logits_of(tape_type& tape, std::size_t slot) {
    const auto n = static_cast<std::size_t>(tape.output().n);
    if constexpr (has_classifier) {
      auto* value = heads_.data() + 2 * slot * slice(n);
      if (n > 0) launch(*backend_, ops::take_logit<loss_type::classes>{}, {tape.output(), value});
      return {value, value + slice(n), n};
    } else {
      return {tape.output().data, tape.output_gradient().data, n};
    }
  }
  void classify(tape_type& tape, const logits<B>& on, const std::uint8_t* labels, float weight,
                typename B::scalar* sum) {
    if constexpr (has_classifier)
      launch(*backend_, ops::auxiliary_cross_entropy<loss_type::classes>{},
             {tape.output(), labels, on.gradient, weight, tape.output_gradient(), sum});
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
