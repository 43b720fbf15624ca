// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/dist/continual.hpp"
#include "gantry/dist/costs.hpp"
#include "gantry/dist/device_exchange.hpp"
#include "gantry/dist/layerwise_config.hpp"
#include "gantry/dist/local_gan.hpp"
#include "gantry/dist/stopwatch.hpp"

namespace gantry::inline v0::dist {

/// A worker of layerwise_overlap: a generator that only makes fakes, a discriminator, and the
/// source of its private samples. A round ends with the first fakes of the next one, so that their
/// forward overlaps with the arrival of the generator.
template <Topology T, Backend B, BatchSource Source, StepScheduler Scheduler>
class layerwise_worker {
 public:
  using config = layerwise_config<Scheduler>;
  using generator_slices = layer_slices<typename T::generator_type>;
  using discriminator_slices = layer_slices<typename T::discriminator_type>;

  /// index = rank - 1 names the random streams. All workers start with the same discriminator.
  layerwise_worker(B& b, const common_config<T>& common, const config& settings, Source source,
                   std::uint32_t index)
      : backend_(&b),
        common_(common),
        config_((check(settings), settings)),
        index_(index),
        g_slices_(slices_of<typename T::generator_type>(settings)),
        d_slices_(slices_of<typename T::discriminator_type>(settings)),
        gan_(b, common, std::move(source), index),
        slice_(largest_slice(settings)),
        packet_(peer_packet<T>(settings)),
        statistics_(statistics(settings)),
        consolidation_(consolidated(settings)),
        memory_(replays(settings) ? settings.replay_capacity : 0, image_size),
        mixed_(b.allocate(mixed_elements(common.batch, settings))),
        images_(replays(settings) ? static_cast<std::size_t>(common.batch) * image_size : 0),
        mixed_labels_(replays(settings) && T::classes > 0 ? static_cast<std::size_t>(common.batch)
                                                          : 0) {
    player().state().initialise(b, common.seed, 1);
  }

  static constexpr std::size_t bytes(int batch, const config& c,
                                     const typename T::loss_type& loss = {}) {
    return local_gan<T, B, Source>::bytes(batch, 1, loss) +
           allocation_bytes<typename B::scalar>(mixed_elements(batch, c));
  }
  static constexpr std::size_t message_bytes(int batch, const config& c) {
    return (largest_slice(c) + peer_packet<T>(c) + statistics(c)) * sizeof(float) +
           elastic_consolidation::bytes(consolidated(c)) +
           (replays(c) ? fake_memory::bytes(c.replay_capacity, image_size) +
                             local_gan<T, B, Source>::host_bytes(batch)
                       : 0) +
           local_gan<T, B, Source>::host_bytes(batch);
  }
  /// Tells the server the size of the shard. Call once before the first round.
  template <Communicator C>
  static void begin(C& comm, const Source& source) {
    comm.send(message::control, std::array{static_cast<float>(source.size())}, 0);
  }

  /// One round. @returns what the server asked for; `stop` if the server is gone
  template <Communicator C>
  order round(C& comm, std::uint32_t iteration) {
    if (!primed_) {
      if (!take_generator(comm)) return order::stop;
      primed_ = true;
    }
    stopwatch watch(times_);
    std::array<float, layerwise_plan::size> packed{};
    if (!comm.receive(message::control, packed, 0)) return order::stop;
    const layerwise_plan plan = layerwise_plan::unpack(packed);
    if (plan.what != order::train) {
      take_back();
      return plan.what;
    }
    watch.lap(phase::wait);
    report_ = {};
    const bool passes = plan.send_to >= 0;
    for (int s = 0; s < plan.steps.discriminator; ++s) {
      if (s > 0 && s % plan.steps.fakes_every == 0) generate(comm, watch);
      step(comm, {iteration, s, !passes && s + 1 == plan.steps.discriminator, false}, watch);
    }
    if (passes) {
      remember_fakes();
      pass_on(comm, plan);
      watch.lap(phase::swap);
      for (int s = 0; s < config_.peer_steps; ++s) {
        generate(comm, watch);
        step(comm, {iteration, plan.steps.discriminator + s, s + 1 == config_.peer_steps, true},
             watch);
      }
    }
    send_report(comm, plan.steps.discriminator + (passes ? config_.peer_steps : 0));
    if (config_.return_mean && !take_discriminator(comm)) return order::stop;
    if (config_.overlap != overlap_mode::blocking) work_ahead(comm, iteration + 1);
    return take_generator(comm) ? order::train : order::stop;
  }

  [[nodiscard]] generator_player<T, B>& generator() { return gan_.generator(); }
  [[nodiscard]] discriminator_player<T, B>& discriminator() { return player(); }
  void visit_networks(auto&& f) { f("discriminator", player().state()); }
  void visit_values(auto&& f) {
    if (config_.peer == peer_rule::consolidate) f("fisher", consolidation_.fisher());
    if (config_.peer == peer_rule::replay) memory_.visit_values(f);
    player().visit_values(f);
  }

 private:
  static constexpr std::size_t image_size = static_cast<std::size_t>(T::sample_shape.size());
  static constexpr bool replays(const config& c) { return c.peer == peer_rule::replay; }
  static constexpr std::size_t consolidated(const config& c) {
    return c.peer == peer_rule::consolidate ? T::discriminator_type::param_count : 0;
  }
  static constexpr std::size_t largest_slice(const config& c) {
    return std::max(largest_message<typename T::generator_type>(c),
                    largest_message<typename T::discriminator_type>(c));
  }
  static constexpr std::size_t statistics(const config& c) {
    return c.overlap == overlap_mode::blocking ? 0 : T::discriminator_type::buffer_count;
  }
  static constexpr std::size_t mixed_elements(int batch, const config& c) {
    return replays(c) ? B::storage::layout::elements(T::sample_shape, batch) : 0;
  }
  /// One discriminator step of a round.
  struct step_of_round {
    std::uint32_t iteration;
    int number;
    bool last;       ///< it uploads what it updates
    bool from_peer;  ///< it learns on from another worker's discriminator
  };

  discriminator_player<T, B>& player() { return gan_.discriminator(); }
  /// Numbers real batches and fakes: the discriminator's steps so far, whatever a scheduler says.
  std::uint32_t batch_index() { return static_cast<std::uint32_t>(player().state().step); }

  /// What of a round's first step needs no fakes is done while the generator is on its way: the
  /// real batch is read and passed through the discriminator.
  template <Communicator C>
  void work_ahead(C& comm, std::uint32_t iteration) {
    stopwatch watch(times_);
    gan_.read(batch_index());
    has_read_ = true;
    watch.lap(phase::data);
    backend_->download(player().state().values().buffers.data(), statistics_);
    player().begin_learn(gan_.real(), iteration, 0);
    backend_->synchronize();
    ahead_ = common_.batch * flops_ahead;
    charge(comm, ahead_);
    watch.lap(phase::discriminator);
  }
  /// The round does not come, or only after a checkpoint, which must not hold a half step.
  void take_back() {
    if (std::exchange(ahead_, 0.0) == 0.0) return;
    backend_->upload(statistics_, player().state().values().buffers.data());
    player().forget();
  }
  static constexpr double flops_ahead = discriminator_player<T, B>::scores_apart
                                            ? costs<T>::learn_discriminator / 2
                                            : T::discriminator_type::flops.forward;

  template <Communicator C>
  void generate(C& comm, stopwatch& watch) {
    gan_.generate(batch_index());
    backend_->synchronize();
    charge(comm, common_.batch * costs<T>::generate);
    watch.lap(phase::generate);
  }

  template <Communicator C>
  void step(C& comm, const step_of_round& at, stopwatch& watch) {
    if (!std::exchange(has_read_, false)) gan_.read(batch_index());
    watch.lap(phase::data);
    const network_input<B> fake = at.from_peer && replays(config_) ? mix(at) : gan_.fake();
    const double sent_before = times_[phase::exchange];
    report_.loss = at.last ? uploading_step(comm, fake, at) : learn(comm, fake, at);
    backend_->synchronize();
    watch.lap(phase::discriminator);
    const double sent = times_[phase::exchange] - sent_before;
    times_[phase::discriminator] -= sent;
    report_.images += common_.batch;
    if (config_.peer == peer_rule::consolidate && !at.from_peer)
      consolidation_.observe(*backend_, gradients(), config_.fisher_decay);
  }

  template <Communicator C>
  double learn(C& comm, const network_input<B>& fake, const step_of_round& at) {
    const double loss =
        player().learn(gan_.real(), fake, at.iteration, static_cast<std::uint32_t>(at.number), [&] {
          if (at.from_peer) consolidate();
          player().update();
        });
    charge(comm, common_.batch * costs<T>::learn_discriminator - std::exchange(ahead_, 0.0));
    return loss;
  }

  /// A step whose slices go to the server as soon as they are updated: during the backward where
  /// nothing more is added to the gradients behind it, else after it.
  template <Communicator C>
  double uploading_step(C& comm, const network_input<B>& fake, const step_of_round& at) {
    const double flops = common_.batch * costs<T>::learn_discriminator - std::exchange(ahead_, 0.0);
    layer_charge cost(comm, flops);
    std::size_t next = d_slices_.size();
    const auto release = [&](std::size_t layer) {
      for (; next > 0 && d_slices_[next - 1].layer >= layer; --next) {
        if (next == d_slices_.size()) player().state().begin_step();
        player().update_part(d_slices_[next - 1]);
        send_slice(comm, d_slices_[next - 1]);
      }
    };
    layer_hooks hooks;
    hooks.after_backward = [&](std::size_t i) {
      if (i == 0) return;
      if (i + 1 == T::discriminator_type::depth)
        cost.layer(flops - common_.batch * backward_of_fakes);
      const flop_count& f = T::discriminator_type::layer_flops[i];
      cost.layer(common_.batch * (f.input_gradient + f.weight_gradient));
      release(i);
    };
    const bool penalised = at.from_peer && config_.peer == peer_rule::consolidate;
    if (player().backward_completes && config_.overlap != overlap_mode::blocking && !penalised)
      player().watch(&hooks);
    const double loss =
        player().learn(gan_.real(), fake, at.iteration, static_cast<std::uint32_t>(at.number), [&] {
          if (at.from_peer) consolidate();
          cost.finish();
          release(0);
        });
    player().watch(nullptr);
    return loss;
  }
  static constexpr double backward_of_fakes = T::discriminator_type::flops.input_gradient -
                                              T::discriminator_type::first_input_gradient_flops +
                                              T::discriminator_type::flops.weight_gradient;

  template <Communicator C>
  void send_slice(C& comm, const layer_slice& s) {
    stopwatch watch(times_);
    for_each_piece(s, message_room(config_), [&](const layer_slice& piece) {
      if constexpr (HasDeviceMemory<B> && HasDeviceMessages<C>)
        if (shares_memory<B>(comm))
          return comm.send_device(message::model, slice_parts<B>(player().state().values(), piece),
                                  0, backend_->queue());
      const std::span<float> message = std::span(slice_).first(piece.scalars());
      download_slice(*backend_, player().state().values(), piece, message);
      comm.send(message::model, message, 0);
    });
    watch.lap(phase::exchange);
  }

  std::span<const typename B::scalar> gradients() { return player().state().gradients(); }
  std::span<const typename B::scalar> params() { return player().state().values().params; }
  void consolidate() {
    if (config_.peer != peer_rule::consolidate) return;
    consolidation_.template add_penalty<B>(*backend_, config_.peer_weight, params(),
                                           player().state().gradients());
  }

  /// The fakes of now, some of them replaced by remembered ones.
  network_input<B> mix(const step_of_round& at) {
    export_fakes();
    const auto count = static_cast<std::size_t>(
        std::lround(config_.replay_share * static_cast<float>(common_.batch)));
    const stream_id id{.seed = common_.seed,
                       .step = at.iteration,
                       .worker = 1 + index_,
                       .use = purpose::swap,
                       .salt = 1 + static_cast<std::uint32_t>(at.number)};
    memory_.mix(images_, mixed_labels_.empty() ? nullptr : mixed_labels_.data(), count, id);
    const batch_of<typename B::storage> view{mixed_.data(), common_.batch};
    launch(*backend_, ops::import_samples<T::sample_shape>{}, {images_.data(), view});
    return {view, mixed_labels_.empty() ? nullptr : mixed_labels_.data()};
  }
  void export_fakes() {
    const network_input<B> fake = gan_.fake();
    launch(*backend_, ops::export_samples<T::sample_shape>{}, {fake.samples, images_.data(), 1.0f});
    backend_->synchronize();
    std::copy_n(fake.labels, mixed_labels_.size(), mixed_labels_.begin());
  }
  /// A quarter of the batch goes into the memory in each round.
  void remember_fakes() {
    if (!replays(config_)) return;
    export_fakes();
    memory_.keep(images_, mixed_labels_.empty() ? nullptr : mixed_labels_.data(),
                 static_cast<std::size_t>((common_.batch + 3) / 4));
  }

  /// Passes the discriminator on, with its Fisher diagonal, and takes another's place. If the
  /// partner that should send has stopped, the own one stays.
  template <Communicator C>
  void pass_on(C& comm, const layerwise_plan& plan) {
    const auto values = player().state().values();
    const std::size_t p = values.params.size(), s = values.buffers.size();
    const std::span<float> packet(packet_);
    backend_->download(values.params.data(), packet.first(p));
    backend_->download(values.buffers.data(), packet.subspan(p, s));
    std::ranges::copy(consolidation_.fisher(),
                      packet_.begin() + static_cast<std::ptrdiff_t>(p + s));
    if (comm.exchange(message::discriminator, packet_, plan.send_to, packet_, plan.receive_from)) {
      backend_->upload(packet.first(p), values.params.data());
      backend_->upload(packet.subspan(p, s), values.buffers.data());
      std::copy_n(packet_.begin() + static_cast<std::ptrdiff_t>(p + s),
                  consolidation_.fisher().size(), consolidation_.fisher().begin());
    }
    if (config_.peer == peer_rule::consolidate) consolidation_.set_anchor(*backend_, params());
  }

  template <Communicator C>
  void send_report(C& comm, int steps) {
    report_.times = times_;
    report_.signals = player().signals();
    report_.step_seconds = (times_[phase::discriminator] + times_[phase::data]) / steps;
    report_.waited = waited_;
    report_.hidden = hidden_;
    comm.send(message::control, report_.pack(), 0);
    times_ = {};
    waited_ = hidden_ = 0;
  }

  /// Slices that come next, `slice(0)`, `slice(1)`, ...: from device to device they are taken in
  /// while this rank computes.
  template <Communicator C, class Slice>
  void expect_slices(C& comm, std::size_t count, const Slice& slice) {
    if (!shares_memory<B>(comm)) return;
    coming_.clear();
    for (std::size_t s = 0; s < count; ++s)
      for_each_piece(slice(s), message_room(config_),
                     [&](const layer_slice& piece) { coming_.push_back(piece.scalars()); });
    expect_device(comm, coming_, 0);
  }
  /// Receives a slice into the network of that name. @returns false if the server is gone
  template <Communicator C>
  bool take_slice(C& comm, const layer_slice& s, std::string_view name, network_view<B> values) {
    bool here = true;
    expect_part(comm, {name, s.layer});
    for_each_piece(s, message_room(config_), [&](const layer_slice& piece) {
      if constexpr (HasDeviceMemory<B> && HasDeviceMessages<C>)
        if (shares_memory<B>(comm)) {
          here = here && comm.receive_device(message::model, slice_parts<B>(values, piece), 0);
          return;
        }
      const std::span<float> message = std::span(slice_).first(piece.scalars());
      here = here && comm.receive(message::model, message, 0);
      if (here) upload_slice(*backend_, std::span<const float>(message), piece, values);
    });
    expect_part(comm, {});
    return here;
  }

  template <Communicator C>
  bool take_discriminator(C& comm) {
    stopwatch watch(times_);
    bool here = true;
    expect_slices(comm, d_slices_.size(), [&](std::size_t s) -> const layer_slice& {
      return d_slices_[d_slices_.size() - 1 - s];
    });
    if (shares_memory<B>(comm)) backend_->synchronize();  // what comes takes the place of values
    for (std::size_t s = d_slices_.size(); here && s-- > 0;)
      here = take_slice(comm, d_slices_[s], "discriminator", player().state().values());
    watch.lap(phase::wait);
    return here;
  }

  /// Makes the first fakes of the next round while the generator comes: a layer waits for its own
  /// slice, and for those that were sent before it. @returns false if the server is gone
  template <Communicator C>
  bool take_generator(C& comm) {
    phase_times own;
    stopwatch watch(own);
    layer_charge cost(comm, common_.batch * costs<T>::generate);
    const bool backwards = config_.overlap == overlap_mode::ready;
    const auto sent_as = [&](std::size_t s) -> const layer_slice& {
      return g_slices_[backwards ? g_slices_.size() - 1 - s : s];
    };
    expect_slices(comm, g_slices_.size(), sent_as);
    std::size_t taken = 0;
    bool here = true;
    double waited = 0, until_last = 0;
    const auto wait_for = [&](std::size_t count) {
      if (taken >= count || !here) return;
      backend_->synchronize();
      watch.lap(phase::generate);
      for (; here && taken < count; taken += here)
        here = take_slice(comm, sent_as(taken), "generator", gan_.generator().state().values());
      watch.lap(phase::wait);
      waited = own[phase::wait];
      until_last = own[phase::generate];
    };
    layer_hooks hooks;
    hooks.before_forward = [&](std::size_t i) {
      if (i > 0) cost.layer(common_.batch * T::generator_type::layer_flops[i - 1].forward);
      const std::size_t s = g_slices_.of_layer(i);
      if (s != generator_slices::none) wait_for(backwards ? g_slices_.size() - s : s + 1);
    };
    gan_.generator().watch(&hooks);
    gan_.generate(batch_index());
    gan_.generator().watch(nullptr);
    cost.finish();
    wait_for(g_slices_.size());
    backend_->synchronize();
    watch.lap(phase::generate);
    times_ += own;
    waited_ = waited;
    hidden_ = until_last;
    return here;
  }

  B* backend_;
  common_config<T> common_;
  config config_;
  std::uint32_t index_;
  generator_slices g_slices_;
  discriminator_slices d_slices_;
  local_gan<T, B, Source> gan_;
  std::vector<float> slice_, packet_;
  std::vector<std::size_t> coming_;  // values of the messages that come next
  std::vector<float> statistics_;    // of the discriminator before what was done ahead
  double ahead_{};                   // operations of the next step that are done
  elastic_consolidation consolidation_;
  fake_memory memory_;
  typename B::buffer_type mixed_;
  std::vector<float> images_;
  std::vector<std::uint8_t> mixed_labels_;
  bool primed_{false}, has_read_{false};
  phase_times times_;  // since the last report
  double waited_{}, hidden_{};
  layerwise_report report_;
};

}  // namespace gantry::dist
