// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// cuBLASLt and cuDNN on one stream: handles, plans by shape, scratch, and the ops that they take.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <cublasLt.h>
#include <cuda_runtime.h>

#include "gantry/backend/cuda/memory.cuh"
#include "gantry/backend/cuda/vendor_cublaslt.cuh"
#include "gantry/backend/cuda/vendor_plan.cuh"
#include "gantry/kernels/common/launch.cuh"
#include "gantry/kernels/vendor/launch.cuh"

namespace gantry::inline v0::backend {

/// Device memory that stays until its owner goes: recorded graphs may use it.
class lasting_memory {
 public:
  lasting_memory() = default;
  lasting_memory(const lasting_memory&) = delete;
  lasting_memory& operator=(const lasting_memory&) = delete;
  ~lasting_memory() {
    for (void* block : blocks_) static_cast<void>(cudaFree(block));
  }
  /// At least so many bytes, the same ones for smaller requests. @throws device_error
  void* at_least(std::size_t bytes) {
    if (bytes > size_) {
      kernels::check(cudaMalloc(&blocks_.emplace_back(nullptr), bytes), "cudaMalloc");
      size_ = bytes;
    }
    return blocks_.empty() ? nullptr : blocks_.back();
  }

 private:
  std::vector<void*> blocks_;
  std::size_t size_{};
};

/// Launches of this process that the own kernels took because a library has no plan for the op.
inline std::atomic<std::size_t> launches_without_plan{0};

/// A plan for what was asked, none where the library has none, kept under the question.
template <class Question, class Plan>
class plan_cache {
 public:
  struct entry {
    Question question;
    std::optional<Plan> plan;
    bool has_run{};
  };
  template <class Find>
  entry& at(const Question& question, Find find) {
    for (const auto& e : entries_)
      if (e->question == question) return *e;
    entries_.push_back(std::make_unique<entry>(entry{question, find()}));
    return *entries_.back();
  }

 private:
  std::vector<std::unique_ptr<entry>> entries_;  ///< addresses stay
};

/// The libraries, their plans and what those need. It belongs to one stream.
class vendor_library {
 public:
  static constexpr std::size_t most_workspace = std::size_t{64} << 20;

  /// @throws device_error
  explicit vendor_library(cudaStream_t stream) : stream_(stream), cudnn_(stream) {
    check_cublas(cublasLtCreate(cublas_.out()), "cublasLtCreate");
    workspace_.at_least(most_workspace);
  }
  vendor_library(const vendor_library&) = delete;
  vendor_library& operator=(const vendor_library&) = delete;

  /// False if cuBLASLt has no plan. @throws device_error
  bool run(const kernels::context& c, const vendor_product& p, product_plan::operands o) {
    auto& e = products_.at(p, [&] { return product_plan::find(p, cublas_.get(), most_workspace); });
    if (!e.plan) return false;
    if (p.math == vendor_math::bf16) {
      const auto a = static_cast<std::size_t>(numbers_of_a(p));
      o.a = narrowed(c, o.a, a, 0);
      o.b = narrowed(c, o.b, static_cast<std::size_t>(numbers_of_b(p)), 1);
    }
    const auto on = [this, plan = &*e.plan](const product_plan::operands& with) {
      plan->run(cublas_.get(), with, workspace_.at_least(0), most_workspace, stream_);
    };
    if (!std::exchange(e.has_run, true)) {
      auto trial = o;
      const auto bytes =
          sizeof(float) * static_cast<std::size_t>(p.rows) * static_cast<std::size_t>(p.columns);
      try_out(bytes, [&](float* result) {
        trial.d = result;
        on(trial);
      });
    }
    call(c, std::pair(&e, o), [on, o] { on(o); });
    return true;
  }

  struct conv_operands {
    const float *image, *filter, *map;  ///< null: the pass's result
    const float* bias;                  ///< null: none
    float* result;
  };
  /// False if cuDNN has no plan for this pass with its bias and function. In bf16 its result is
  /// bf16, too, and is widened behind it. @throws device_error
  bool run(const kernels::context& c, vendor_convolution v, const conv_operands& o) {
    const bool narrow = v.math == vendor_math::bf16;
    const bool accumulate = v.accumulate;
    if (narrow) {
      v.accumulate = false;
      v.alignment = 16;
    }
    auto& e = passes_.at(
        v, [&] { return cudnn_plan::find(v, cudnn_device(cudnn_.get()), most_workspace); });
    if (!e.plan) return false;
    const auto count = static_cast<std::size_t>(result_tensor(v).size());
    void* result = narrow ? narrow_[3].at_least(count * sizeof(std::uint16_t)) : o.result;
    const auto input = [&](const float* numbers, const vendor_tensor& t, std::size_t place) {
      if (!numbers) return result;
      return narrow ? narrowed(c, numbers, static_cast<std::size_t>(t.size()), place)
                    : const_cast<float*>(numbers);
    };
    conv_bindings bound{{{conv_tensor::image, input(o.image, image_tensor(v), 0)},
                         {conv_tensor::filter, input(o.filter, filter_tensor(v), 1)},
                         {conv_tensor::map, input(o.map, map_tensor(v), 2)},
                         {conv_tensor::bias, const_cast<float*>(o.bias)}}};
    const std::size_t tensors = v.bias ? 4 : 3;
    const auto on = [this, tensors, plan = &*e.plan](const conv_bindings& with) {
      plan->run(cudnn_.get(), std::span(with).first(tensors), workspace_.at_least(0));
    };
    if (!std::exchange(e.has_run, true))
      try_out(sizeof(float) * count, [&](float* to) {
        conv_bindings trial = bound;
        for (auto& one : trial)
          if (one.pointer == result) one.pointer = to;
        on(trial);
      });
    call(c, std::pair(&e, bound), [on, bound] { on(bound); });
    if (narrow)
      kernels::widen(c, static_cast<const std::uint16_t*>(result), o.result, accumulate, count);
    return true;
  }

 private:
  using conv_bindings = std::array<cudnn_plan::binding, 4>;

  void* narrowed(const kernels::context& c, const void* numbers, std::size_t count,
                 std::size_t place) {
    auto* to = static_cast<std::uint16_t*>(narrow_[place].at_least(count * sizeof(std::uint16_t)));
    kernels::narrow(c, static_cast<const float*>(numbers), to, count);
    return to;
  }

  /// The first run of a plan, which may load code: not inside a capture. Its result is thrown away.
  template <class F>
  void try_out(std::size_t bytes, F f) {
    lasting_memory result;
    f(static_cast<float*>(result.at_least(bytes)));
    kernels::check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

  /// Starts the work, or leaves it to the recorder. Key: what it is and on which arrays.
  template <class Key>
  void call(const kernels::context& c, const Key& key, std::function<void()> work) {
    if (c.recorder && c.recorder->active())
      c.recorder->call(std::as_bytes(std::span(&key, 1)), std::move(work));
    else
      work();
    if (c.launches) ++*c.launches;
  }

  cudaStream_t stream_;
  cublas_handle cublas_;
  cudnn_session cudnn_;
  lasting_memory workspace_;
  std::array<lasting_memory, 4> narrow_;  ///< by operand
  plan_cache<vendor_product, product_plan> products_;
  plan_cache<vendor_convolution, cudnn_plan> passes_;
};

namespace detail {

/// Bytes that all of these are multiples of, as far as libraries care.
template <class... T>
int alignment_of(const T*... pointers) {
  const bool packs = ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
  return packs ? 16 : 4;
}

/// What may follow an op in its launch.
struct twin_function {
  vendor_function kind{};
  float slope{};
};

template <linear_geometry G>
bool run_twin(vendor_library& library, const kernels::context& c, vendor_math math,
              ops::linear_forward<G>, const kernels::params_of<ops::linear_forward<G>>& p,
              const twin_function& f = {}) {
  if (f.kind != vendor_function::identity && f.kind != vendor_function::relu) return false;
  vendor_product what = product_of_forward(G, p.x.n);
  what.math = math;
  what.bias = p.bias != nullptr;
  what.relu = f.kind == vendor_function::relu;
  what.alignment = alignment_of(p.x.data, p.weight, p.y.data, p.bias);
  return p.x.n == 0 || library.run(c, what, {p.weight, p.x.data, p.y.data, p.bias});
}
template <linear_geometry G>
bool run_twin(vendor_library& library, const kernels::context& c, vendor_math math,
              ops::linear_backward_data<G>,
              const kernels::params_of<ops::linear_backward_data<G>>& p,
              const twin_function& f = {}) {
  if (f.kind != vendor_function::identity) return false;
  vendor_product what = product_of_backward_data(G, p.dy.n);
  what.math = math;
  what.accumulate = p.accumulate;
  what.alignment = alignment_of(p.dy.data, p.weight, p.dx.data);
  return p.dy.n == 0 || library.run(c, what, {p.weight, p.dy.data, p.dx.data, nullptr});
}
template <linear_geometry G>
bool run_twin(vendor_library& library, const kernels::context& c, vendor_math math,
              ops::linear_backward_weights<G>,
              const kernels::params_of<ops::linear_backward_weights<G>>& p) {
  vendor_product what = product_of_backward_weights(G, p.x.n);
  what.math = math;
  what.alignment = alignment_of(p.x.data, p.dy.data, p.dweight);
  return p.x.n == 0 || library.run(c, what, {p.x.data, p.dy.data, p.dweight, nullptr});
}

/// A pass with its bias and f in the library's launch, or, where it has no such plan, the bias
/// behind it; f only in the launch.
inline bool run_convolution(vendor_library& library, const kernels::context& c,
                            vendor_convolution what, vendor_library::conv_operands o,
                            const twin_function& f = {}) {
  what.alignment = alignment_of(o.image, o.filter, o.map, o.bias, o.result);
  what.function = f.kind;
  what.slope = f.slope;
  what.bias = o.bias != nullptr;
  if (what.n == 0 || library.run(c, what, o)) return true;
  if (!o.bias || what.function != vendor_function::identity) return false;
  const float* bias = std::exchange(o.bias, nullptr);
  what.bias = false;
  if (!library.run(c, what, o)) return false;
  const vendor_tensor result = result_tensor(what);
  kernels::add_bias(c, o.result, bias, static_cast<int>(result.extents[1]),
                    static_cast<std::size_t>(result.size()));
  return true;
}

template <conv_geometry G>
bool run_twin(vendor_library& library, const kernels::context& c, vendor_math math,
              ops::conv2d_forward<G>, const kernels::params_of<ops::conv2d_forward<G>>& p,
              const twin_function& f = {}) {
  return run_convolution(library, c, {.pass = conv_pass::forward, .g = G, .n = p.x.n, .math = math},
                         {p.x.data, p.weight, nullptr, p.bias, p.y.data}, f);
}
template <conv_geometry G>
bool run_twin(vendor_library& library, const kernels::context& c, vendor_math math,
              ops::conv2d_backward_data<G>,
              const kernels::params_of<ops::conv2d_backward_data<G>>& p,
              const twin_function& f = {}) {
  return run_convolution(library, c,
                         {.pass = conv_pass::backward_data, .g = G, .n = p.dy.n, .math = math},
                         {nullptr, p.weight, p.dy.data, p.bias, p.dx.data}, f);
}
template <conv_geometry G>
bool run_twin(vendor_library& library, const kernels::context& c, vendor_math math,
              ops::conv2d_backward_weights<G>,
              const kernels::params_of<ops::conv2d_backward_weights<G>>& p) {
  return run_convolution(
      library, c,
      {.pass = conv_pass::backward_weights, .g = G, .n = p.x.n, .accumulate = true, .math = math},
      {p.x.data, nullptr, p.dy.data, nullptr, p.dweight});
}

}  // namespace detail

}  // namespace gantry::backend
