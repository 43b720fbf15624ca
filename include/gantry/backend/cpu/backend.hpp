// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "gantry/backend/cpu/packed_weights.hpp"
#include "gantry/base/denormals.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/concepts/backend.hpp"
#include "gantry/tensor/blocked.hpp"

namespace gantry::inline v0::backend {

/// Who computes the products: hand-written kernels on the blocked layout, or Eigen on unfolded
/// patches in canonical order, which is the plain path that the gain is measured against.
enum class kernel_set { own, eigen };

/// Single precision on the host's cores, split over a thread pool that all nodes of the process
/// share. Work is cut into pieces by the extents alone, never by the number of threads, so results
/// are bitwise the same for any number of threads. Subnormal numbers are taken for zero.
template <kernel_set Kernels>
class basic_cpu {
 public:
  using scalar = float;
  using storage =
      gantry::storage<float, std::conditional_t<Kernels == kernel_set::own, blocked, nhwc>>;
  using buffer_type = host_buffer<float>;
  static constexpr std::string_view name = Kernels == kernel_set::own ? "cpu" : "cpu_eigen";

  explicit basic_cpu(std::shared_ptr<thread_pool> pool) : pool_(std::move(pool)) {}
  /// A backend with a pool of its own.
  explicit basic_cpu(int threads = 1) : basic_cpu(std::make_shared<thread_pool>(threads)) {}

  /// Whether convolutions may use Winograd's minimal filtering (backend/cpu/winograd.hpp): fewer
  /// products, other rounding of the same size.
  bool minimal_filtering{true};
  /// Packed weights of this backend's convolutions.
  packed_weights packed;

  buffer_type allocate(std::size_t count) { return {count, meter_}; }
  void upload(std::span<const float> source, float* target) { std::ranges::copy(source, target); }
  void download(const float* source, std::span<float> target) {
    std::copy_n(source, target.size(), target.begin());
  }
  void synchronize() {}
  [[nodiscard]] const memory_meter& meter() const { return *meter_; }
  [[nodiscard]] thread_pool& pool() { return *pool_; }

  /// Runs f(begin, end) over pieces of 0 .. count; `grain` is the length of a piece.
  template <class F>
  void split(std::size_t count, std::size_t grain, F&& f) {
    if (count == 0) return;
    for_each(static_cast<int>(ceil_div(count, grain)), [&](int piece) {
      const std::size_t begin = static_cast<std::size_t>(piece) * grain;
      f(begin, std::min(begin + grain, count));
    });
  }

  /// Runs f(i) for every i below count, each a piece of its own.
  template <class F>
  void for_each(int count, F&& f) {
    pool_->parallel_for(count, [&](int i) {
      flush_denormals();
      f(i);
    });
  }

 private:
  std::shared_ptr<thread_pool> pool_;
  std::shared_ptr<memory_meter> meter_ = std::make_shared<memory_meter>();
};

using cpu = basic_cpu<kernel_set::own>;
using cpu_eigen = basic_cpu<kernel_set::eigen>;

/// What scratch memory is for: `op` is held by a launch while its pieces run, `piece` by one piece.
enum class scratch_use { op, op_output, piece, piece_output, count };

/// Scratch of the calling thread, at least `count` floats, overwritten by the next call for the
/// same use. It grows to the largest request and stays, so that a training step allocates nothing.
inline float* scratch(scratch_use use, std::size_t count) {
  thread_local std::array<host_buffer<float>, static_cast<std::size_t>(scratch_use::count)> memory;
  host_buffer<float>& m = memory[static_cast<std::size_t>(use)];
  if (m.size() < count) m = host_buffer<float>(count, nullptr);
  return m.data();
}

namespace detail {

/// Stands for the order in which Form::pack<...> packs weights.
template <class Form, bool Backward>
inline constexpr char packed_form{};

/// The `count` weights as pack(to) packs them into `size` floats: kept from an earlier launch where
/// they have not changed.
template <class Form, bool Backward, class Pack>
const float* packed_once(cpu& b, const float* weight, std::size_t count, std::size_t size,
                         Pack&& pack) {
  if (size * sizeof(float) >= b.packed.kept_from)
    return b.packed.get(b, {weight, count}, &packed_form<Form, Backward>, size, pack);
  float* to = scratch(scratch_use::op, size);
  pack(to);
  return to;
}

}  // namespace detail

}  // namespace gantry::backend
