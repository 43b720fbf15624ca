// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include <cuda_runtime.h>

#include "gantry/backend/cuda/memory.cuh"
#include "gantry/backend/cuda/runtime.cuh"
#include "gantry/backend/cuda/staging.cuh"
#include "gantry/backend/cuda/window.cuh"
#include "gantry/concepts/backend.hpp"
#include "gantry/concepts/device_queue.hpp"
#include "gantry/kernels/common/launch.cuh"

namespace gantry::inline v0::backend {

using kernels::gemm_math;

struct cuda_options {
  int device{0};
  pool_mode pool{pool_mode::caching};
  /// Ops become part of the kernels before them (window.cuh); not with the two that follow.
  bool fuse{true};
  /// Waits for each op, so that an error of a kernel names its op and shapes; slow.
  bool wait_for_each_op{false};
  /// Data sets stay on the device where they fit; else, and without this, batches are sent.
  bool hold_images{true};
};

constexpr std::string_view cuda_name(gemm_math math) {
  switch (math) {
    case gemm_math::tf32:
      return "cuda_tf32";
    case gemm_math::bf16:
      return "cuda_bf16";
    case gemm_math::bf16x3:
      return "cuda_bf16x3";
    case gemm_math::bf16x6:
      return "cuda_bf16x6";
    default:
      return "cuda";
  }
}

/// One GPU, activations in fp32 as [n][h][w][c], products in the given arithmetic, through the
/// kernels of kernels/. A backend has a stream of its own: several work side by side on a device.
/// Equal inputs give equal bits. It belongs to the thread that made it.
template <gemm_math Math>
class basic_cuda {
 public:
  using scalar = float;
  using storage = kernels::device_storage;
  using buffer_type = device_buffer<float>;
  static constexpr std::string_view name = cuda_name(Math);
  static constexpr bool on_device = true;
  static constexpr bool takes_pairs = true;
  using message_memory = pinned_buffer;  // on the host, for messages that go through it

  /// @throws usage_error if there is no such device, device_error
  explicit basic_cuda(const cuda_options& options = {})
      : options_(options),
        memory_((use_device(options.device), std::make_shared<device_memory>(options.pool))),
        partials_(partial_count, memory_, false),
        tickets_(ticket_count, memory_, false) {
    kernels::check(
        cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, options.device),
        "cudaDeviceGetAttribute");
  }

  buffer_type allocate(std::size_t count) {
    flush();  // memory that comes back may still be used by what is recorded
    return {count, memory_};
  }
  /// Room for images that stay, beside what networks may still ask for; empty if there is too
  /// little. Like the scratch it is no part of a plan.
  device_buffer<std::uint8_t> hold(std::size_t bytes) {
    flush();
    if (!options_.hold_images || bytes > unused_memory() / 2) return {};
    return {bytes, memory_, false};
  }
  device_buffer<std::uint32_t> hold_positions(std::size_t count) {
    flush();
    return {count, memory_, false};
  }
  void upload(std::span<const float> source, float* target) {
    copy(target, source.data(), source.size_bytes(), cudaMemcpyHostToDevice);
  }
  void upload(std::span<const std::uint8_t> source, std::uint8_t* target) {
    copy(target, source.data(), source.size_bytes(), cudaMemcpyHostToDevice);
  }
  void download(const float* source, std::span<float> target) {
    copy(target.data(), source, target.size_bytes(), cudaMemcpyDeviceToHost);
  }
  /// Copies without waiting; the source may change as soon as this returns.
  void send(std::span<const float> source, float* target) {
    if (source.empty()) return;
    window_->flush();
    if (recorder_->active())
      if (float* pinned = recorder_->copy(target, source.size())) {
        std::ranges::copy(source, pinned);
        return;
      }
    staging_->send(source, target, memory_->stream);
  }
  /// The same for positions of images, which are copied as they are.
  void send(std::span<const std::uint32_t> source, std::uint32_t* target) {
    send(std::span(reinterpret_cast<const float*>(source.data()), source.size()),
         reinterpret_cast<float*>(target));
  }
  void synchronize() {
    flush();
    memory_->stream.synchronize();
  }
  /// Where all work is that was launched so far.
  [[nodiscard]] device_queue queue() {
    flush();
    return {memory_->stream.get()};
  }
  /// Hands all work to the stream, for those who use stream() themselves.
  void flush() {
    window_->flush();
    recorder_->flush();
  }

  /// Runs f, whose ops become CUDA graphs: one for each stretch between two points at which the
  /// host waits, so one where it does not. The first call of f records them; later ones walk
  /// through the same launches, hand over the arguments that have changed (Adam's corrections,
  /// random streams) and launch the graphs. The results have the bits that f has without this.
  /// Where f takes another way than before, the rest of that call runs without graphs, and the next
  /// call records again.
  template <class F>
  void step(F&& f) {
    window_->flush();
    recorder_->begin(memory_->stream.get());
    try {
      f();
      window_->flush();
      recorder_->end();
    } catch (...) {
      window_->drop();
      recorder_->abandon();
      throw;
    }
  }
  /// Graphs that step() launches.
  [[nodiscard]] std::size_t graphs() const { return recorder_->graphs(); }
  [[nodiscard]] const memory_meter& meter() const { return memory_->meter; }

  [[nodiscard]] const cuda_options& options() const { return options_; }
  [[nodiscard]] const cuda_stream& stream() const { return memory_->stream; }
  [[nodiscard]] memory_pool& pool() { return memory_->pool; }
  /// Kernels started so far.
  [[nodiscard]] std::size_t launches() const { return launches_; }

  /// What kernels are started with; starts what waits for its next op.
  [[nodiscard]] kernels::math_context<Math> context() {
    window_->flush();
    return held_context();
  }
  /// The op that waits, for those who may become part of it, and the context without its start.
  [[nodiscard]] detail::launch_window& window() { return *window_; }
  [[nodiscard]] bool fuses() const {
    return options_.fuse && !options_.wait_for_each_op && options_.pool == pool_mode::caching;
  }
  [[nodiscard]] kernels::math_context<Math> held_context() {
    kernels::math_context<Math> c;
    c.stream = memory_->stream.get();
    c.multiprocessors = multiprocessors_;
    c.partials = partials_.data();
    c.partial_count = partial_count;
    c.tickets = tickets_.data();
    c.ticket_count = ticket_count;
    c.launches = &launches_;
    c.recorder = recorder_.get();
    return c;
  }

 private:
  /// Room for two tiles of sums on each of 132 multiprocessors, and as many tiles as there are
  /// tickets.
  static constexpr std::size_t partial_count = std::size_t{1} << 22,
                               ticket_count = std::size_t{1} << 13;

  void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    flush();
    kernels::check(cudaMemcpyAsync(to, from, bytes, kind, memory_->stream.get()),
                   "cudaMemcpyAsync");
    synchronize();
  }

  cuda_options options_;
  std::shared_ptr<device_memory> memory_;
  device_buffer<float> partials_;
  device_buffer<unsigned> tickets_;
  std::unique_ptr<detail::launch_window> window_ = std::make_unique<detail::launch_window>();
  std::unique_ptr<staging> staging_ = std::make_unique<staging>();
  std::unique_ptr<kernels::launch_recorder> recorder_ =
      std::make_unique<kernels::launch_recorder>();
  int multiprocessors_{};
  std::size_t launches_{};
};

using cuda = basic_cuda<gemm_math::fp32>;
using cuda_tf32 = basic_cuda<gemm_math::tf32>;
using cuda_bf16 = basic_cuda<gemm_math::bf16>;
using cuda_bf16x3 = basic_cuda<gemm_math::bf16x3>;
using cuda_bf16x6 = basic_cuda<gemm_math::bf16x6>;

}  // namespace gantry::backend
