// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The CUDA backend whose products and convolutions cuBLASLt and cuDNN compute, for comparison with
// the kernels of kernels/. Needs both libraries.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "gantry/backend/cuda/any.cuh"
#include "gantry/backend/cuda/vendor_library.cuh"

namespace gantry::inline v0::backend {

constexpr bool has_vendor_math(gemm_math math) {
  return math == gemm_math::fp32 || math == gemm_math::tf32 || math == gemm_math::bf16;
}
constexpr vendor_math vendor_math_of(gemm_math math) {
  return math == gemm_math::fp32   ? vendor_math::fp32
         : math == gemm_math::tf32 ? vendor_math::tf32
                                   : vendor_math::bf16;
}

/// any_cuda with a kernel set that is chosen at run time, too. With device_kernels::vendor, linear
/// and convolution ops go to the libraries; all other ops, and those for which a library has no
/// plan (see launches_without_plan), to the own kernels. Equal inputs give equal bits here, too: no
/// plan is chosen by timing, and engines that add up in another order each time are not taken.
template <gemm_math First, gemm_math... More>
class vendor_cuda : public any_cuda<First, More...> {
  static_assert(has_vendor_math(First) && (has_vendor_math(More) && ...),
                "cuBLASLt and cuDNN compute in fp32, tf32 or bf16; bf16x3 and bf16x6 are own");

 public:
  static constexpr std::string_view name = "cuda_vendor";

  /// @throws usage_error if there is no such device or arithmetic, device_error
  explicit vendor_cuda(device_kernels set = device_kernels::vendor,
                       std::string_view precision = precision_name(First),
                       const cuda_options& options = {})
      : any_cuda<First, More...>(precision, options), set_(set) {
    if (set == device_kernels::vendor) library_.emplace(this->stream().get());
  }

  [[nodiscard]] device_kernels kernels() const { return set_; }
  /// Null with device_kernels::own.
  [[nodiscard]] vendor_library* library() { return library_ ? &*library_ : nullptr; }

 private:
  device_kernels set_;
  std::optional<vendor_library> library_;
};

/// True if a library has this op.
template <class Op>
inline constexpr bool has_vendor_twin = false;
template <linear_geometry G>
inline constexpr bool has_vendor_twin<ops::linear_forward<G>> = true;
template <linear_geometry G>
inline constexpr bool has_vendor_twin<ops::linear_backward_data<G>> = true;
template <linear_geometry G>
inline constexpr bool has_vendor_twin<ops::linear_backward_weights<G>> = true;
template <conv_geometry G>
inline constexpr bool has_vendor_twin<ops::conv2d_forward<G>> = true;
template <conv_geometry G>
inline constexpr bool has_vendor_twin<ops::conv2d_backward_data<G>> = true;
template <conv_geometry G>
inline constexpr bool has_vendor_twin<ops::conv2d_backward_weights<G>> = true;

namespace detail {

constexpr twin_function twin_of(const kernels::any_activation& f) {
  using enum kernels::activation_kind;
  return {f.kind == relu         ? vendor_function::relu
          : f.kind == leaky_relu ? vendor_function::leaky_relu
          : f.kind == tanh       ? vendor_function::tanh
          : f.kind == sigmoid    ? vendor_function::sigmoid
                                 : vendor_function::identity,
          f.slope};
}

/// An op with the activation behind it, or the gradient of the one before it (parts.gate), in one
/// launch of the library if it has a plan for both, else in two. False if it has none for the op.
template <class Op>
bool run_with_parts(vendor_library& library, const kernels::context& c, vendor_math math, Op op,
                    const kernels::params_of<Op>& p, const fused_parts& parts) {
  const bool has_function = parts.f.kind != kernels::activation_kind::none;
  if (has_function && !parts.gate && run_twin(library, c, math, op, p, twin_of(parts.f)))
    return true;
  if (!run_twin(library, c, math, op, p)) return false;
  if (!has_function) return true;
  const fusable what = fusable_of(op, p);
  auto* const result = const_cast<float*>(what.result);
  using kernels::any_activation;
  if (parts.gate)
    launch(c, ops::activation_backward<any_activation>{},
           {parts.gate, result, result, what.count, parts.f});
  else
    launch(c, ops::activation_forward<any_activation>{}, {result, result, what.count, parts.f});
  return true;
}

/// Like the backend's own, an op waits for an activation behind it.
template <gemm_math First, gemm_math Math, class Op>
void launch_by(vendor_library& library, basic_cuda<First>& b, const kernels::math_context<Math>& c,
               Op op, const kernels::params_of<Op>& p) {
  static constexpr vendor_math math = vendor_math_of(Math);
  b.window().flush();
  const fusable behind = fusable_of(op, p);
  if constexpr (requires(const fused_parts& parts) {
                  run_twin(library, c, math, op, p, twin_of(parts.f));
                })
    if (b.fuses())
      return b.window().hold({behind.result, behind.count, true},
                             [&library, c, op, p](const fused_parts& parts) {
                               named(op, p, [&] {
                                 if (run_with_parts(library, c, math, op, p, parts)) return;
                                 ++launches_without_plan;
                                 launch(c, op, p, parts);
                               });
                             });
  named(op, p, [&] {
    if (!run_twin(library, c, math, op, p)) {
      ++launches_without_plan;
      launch(c, op, p);
    }
    if (b.options().wait_for_each_op) b.synchronize();
  });
}

}  // namespace detail

/// @throws device_error that names the op and its shapes
template <gemm_math First, gemm_math... More, class Op>
requires has_vendor_twin<Op>
void launch(vendor_cuda<First, More...>& b, Op op, const kernels::params_of<Op>& p) {
  vendor_library* const library = b.library();
  if (!library) return launch(static_cast<any_cuda<First, More...>&>(b), op, p);
  b.with_context([&](const auto& c) {
    detail::launch_by(*library, static_cast<basic_cuda<First>&>(b), c, op, p);
  });
}

}  // namespace gantry::backend
