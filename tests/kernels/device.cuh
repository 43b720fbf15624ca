// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The kernels as a backend, so that the runs of support/op_runs.hpp judge them: on a GPU or under
// the emulator, whichever <cuda_runtime.h> is found.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/kernels/common/launch.cuh"

#include "support/compare.hpp"
#include "support/op_runs_flat.hpp"

namespace gantry::test {

/// Zeroed device memory; `shift` moves its beginning off the boundary of a pack.
class device_buffer {
 public:
  device_buffer(std::size_t count, std::size_t shift) : shift_(shift) {
    const std::size_t bytes = (count + shift) * sizeof(float);
    if (bytes == 0) return;
    kernels::check(cudaMalloc(&data_, bytes), "cudaMalloc");
    kernels::check(cudaMemsetAsync(data_, 0, bytes), "cudaMemsetAsync");
  }
  device_buffer(device_buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), shift_(other.shift_) {}
  device_buffer& operator=(device_buffer&&) = delete;
  ~device_buffer() { static_cast<void>(cudaFree(data_)); }
  [[nodiscard]] float* data() const { return data_ + shift_; }

 private:
  float* data_{};
  std::size_t shift_;
};

template <kernels::gemm_math Math>
class device_backend_of {
 public:
  using scalar = float;
  using storage = kernels::device_storage;
  using buffer_type = device_buffer;
  static constexpr std::string_view name = "kernels";
  static constexpr bool takes_pairs = true;

  explicit device_backend_of(std::size_t shift = 0) : shift_(shift) {
    kernels::check(cudaMemsetAsync(tickets_.data(), 0, ticket_count * sizeof(unsigned)),
                   "cudaMemsetAsync");
  }
  device_buffer allocate(std::size_t count) { return {count, shift_}; }
  void upload(std::span<const float> source, float* target) {
    kernels::check(cudaMemcpy(target, source.data(), source.size_bytes(), cudaMemcpyHostToDevice),
                   "cudaMemcpy");
  }
  void download(const float* source, std::span<float> target) {
    kernels::check(cudaMemcpy(target.data(), source, target.size_bytes(), cudaMemcpyDeviceToHost),
                   "cudaMemcpy");
  }
  void synchronize() { kernels::check(cudaDeviceSynchronize(), "A kernel"); }
  [[nodiscard]] const memory_meter& meter() const { return meter_; }
  [[nodiscard]] kernels::math_context<Math> context() const {
    kernels::math_context<Math> c;
    c.multiprocessors = 3;  // so few that loops over the grid turn more than once
    c.partials = partials_.data();
    c.partial_count = partial_count;
    c.tickets = reinterpret_cast<unsigned*>(tickets_.data());
    c.ticket_count = ticket_count;
    return c;
  }

 private:
  static constexpr std::size_t partial_count = 1 << 20, ticket_count = 1 << 12;
  std::size_t shift_;
  memory_meter meter_;
  device_buffer partials_{partial_count, 0}, tickets_{ticket_count, 0};
};

using device_backend = device_backend_of<kernels::gemm_math::fp32>;

template <kernels::gemm_math Math, class Op>
void launch(device_backend_of<Math>& b, Op op,
            const typename Op::template params<kernels::device_storage>& p) {
  launch(b.context(), op, p);
}
template <kernels::gemm_math Math, hwc Shape>
void launch(device_backend_of<Math>& b, ops::import_samples<Shape>,
            const kernels::params_of<ops::import_samples<Shape>>& p) {
  b.upload({p.source, nhwc::elements(Shape, p.y.n)}, p.y.data);
}
template <kernels::gemm_math Math, hwc Shape>
void launch(device_backend_of<Math>& b, ops::export_samples<Shape>,
            const kernels::params_of<ops::export_samples<Shape>>& p) {
  b.download(p.x.data, {p.target, nhwc::elements(Shape, p.x.n)});
  for (std::size_t i = 0; i < nhwc::elements(Shape, p.x.n); ++i) p.target[i] *= p.scale;
}

/// Two backends: packs of four, and arrays that allow none.
template <kernels::gemm_math Math = kernels::gemm_math::fp32>
device_backend_of<Math>& aligned_device() {
  static auto& b = *new device_backend_of<Math>(0);
  return b;
}
template <kernels::gemm_math Math = kernels::gemm_math::fp32>
device_backend_of<Math>& shifted_device() {
  static auto& b = *new device_backend_of<Math>(1);
  return b;
}

/// The kernels agree with the reference in double, on arrays of both alignments; a second run gives
/// the same bits.
template <kernels::gemm_math Math = kernels::gemm_math::fp32, class Run>
outcome agrees_on_device(const Run& run, tolerance t) {
  backend::reference<double> oracle;
  const auto expected = run(oracle), found = run(aligned_device<Math>());
  return compare(found, expected, t).named("aligned") &&
         same_bits(run(aligned_device<Math>()), found).named("the second run") &&
         compare(run(shifted_device<Math>()), expected, t).named("shifted by one number");
}

/// The kernels give NaN where the oracle does and nowhere else.
template <kernels::gemm_math Math = kernels::gemm_math::fp32, class Run>
outcome spreads_nan_on_device(const Run& run) {
  backend::reference<double> oracle;
  const auto expected = run(oracle), found = run(aligned_device<Math>());
  std::size_t count = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    count += std::isnan(expected[i]);
    if (std::isnan(found[i]) != std::isnan(expected[i]))
      return outcome::fail("[" + std::to_string(i) + "] is " + std::to_string(found[i]) +
                           ", expected " + std::to_string(expected[i]));
  }
  return count ? outcome::pass() : outcome::fail("the oracle has no NaN");
}

}  // namespace gantry::test
