// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "gantry/base/thread_pool.hpp"
#include "gantry/concepts/backend.hpp"

namespace gantry::backend {

/// Single precision on the host's cores: products by Eigen, everything split over a thread pool
/// that all nodes of the process share. Work is cut into pieces by the extents alone, never by the
/// number of threads, so results are bitwise the same for any number of threads.
class cpu {
 public:
  using scalar = float;
  using storage = gantry::storage<float, nhwc>;
  using buffer_type = host_buffer<float>;
  static constexpr std::string_view name = "cpu";

  explicit cpu(std::shared_ptr<thread_pool> pool) : pool_(std::move(pool)) {}
  /// A backend with a pool of its own.
  explicit cpu(int threads = 1) : cpu(std::make_shared<thread_pool>(threads)) {}

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
    const std::size_t pieces = ceil_div(count, grain);
    if (pieces <= 1) {
      if (count > 0) f(std::size_t{0}, count);
      return;
    }
    pool_->parallel_for(static_cast<int>(pieces), [&](int piece) {
      const std::size_t begin = static_cast<std::size_t>(piece) * grain;
      f(begin, std::min(begin + grain, count));
    });
  }

  /// Scratch of the calling thread, at least `count` floats, overwritten by the next call. It grows
  /// to the largest request and stays, so that a training step allocates nothing.
  static float* scratch(std::size_t count) {
    thread_local host_buffer<float> memory;
    if (memory.size() < count) memory = host_buffer<float>(count, nullptr);
    return memory.data();
  }

 private:
  std::shared_ptr<thread_pool> pool_;
  std::shared_ptr<memory_meter> meter_ = std::make_shared<memory_meter>();
};

}  // namespace gantry::backend
