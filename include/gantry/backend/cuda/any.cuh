// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The CUDA backend whose arithmetic of products is chosen at run time, for programs that compile
// their networks once: kernels that do not multiply matrices are the same for all.
#pragma once

#include <string>
#include <string_view>

#include "gantry/backend/cuda/cuda.cuh"

namespace gantry::inline v0::backend {

/// What a program's user calls an arithmetic: "fp32", "tf32", ...
constexpr std::string_view precision_name(gemm_math math) {
  const std::string_view name = cuda_name(math);
  return math == gemm_math::fp32 ? "fp32" : name.substr(name.find('_') + 1);
}

/// One of the given arithmetics, the first unless another is named.
template <gemm_math First, gemm_math... More>
class any_cuda : public basic_cuda<First> {
 public:
  static constexpr std::string_view name = "cuda";

  /// @throws usage_error if this class has no such arithmetic, device_error
  explicit any_cuda(std::string_view precision = precision_name(First),
                    const cuda_options& options = {})
      : basic_cuda<First>(options), math_(math_of(precision)) {}

  [[nodiscard]] gemm_math math() const { return math_; }

  /// Calls f(c), with the context of the arithmetic in use.
  template <class F>
  void with_context(const F& f) {
    const kernels::context common = this->held_context();
    const auto use = [&]<gemm_math Math>(kernels::math_context<Math> c) {
      static_cast<kernels::context&>(c) = common;
      f(c);
    };
    if (math_ == First) return use(kernels::math_context<First>{});
    static_cast<void>(((math_ == More && (use(kernels::math_context<More>{}), true)) || ...));
  }

 private:
  static gemm_math math_of(std::string_view precision) {
    std::string all;
    for (const gemm_math math : {First, More...}) {
      if (precision_name(math) == precision) return math;
      all += (all.empty() ? "" : ", ") + std::string(precision_name(math));
    }
    throw usage_error("the precision was expected to be one of " + all + " and is \"" +
                      std::string(precision) + "\"; give one of these");
  }

  gemm_math math_;
};

/// Ops that are the same in every arithmetic take the backend's own way.
template <gemm_math First, gemm_math... More, class Op>
requires requires(basic_cuda<First>& b, const kernels::params_of<Op>& p) { launch(b, Op{}, p); }
void launch(any_cuda<First, More...>& b, Op op, const kernels::params_of<Op>& p) {
  if constexpr (!HasKernel<Op, First> ||
                requires(const kernels::context& c) { launch(c, op, p); }) {
    launch(static_cast<basic_cuda<First>&>(b), op, p);
  } else {
    b.with_context([&](const auto& c) { detail::launch_in(c, b, op, p); });
  }
}

}  // namespace gantry::backend
