// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Products through cuBLASLt: descriptors, which need no device, and plans.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <cublasLt.h>
#include <cuda_runtime.h>

#include "gantry/backend/cuda/vendor_layout.hpp"
#include "gantry/base/error.hpp"

namespace gantry::inline v0::backend {

/// @throws device_error that names the call
inline void check_cublas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw device_error(call, cublasLtGetStatusName(status), cublasLtGetStatusString(status));
}

/// One object of cuBLASLt; move-only.
template <class Handle, cublasStatus_t (*Destroy)(Handle)>
class cublas_object {
 public:
  cublas_object() = default;
  cublas_object(cublas_object&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  cublas_object& operator=(cublas_object&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  cublas_object(const cublas_object&) = delete;
  cublas_object& operator=(const cublas_object&) = delete;
  ~cublas_object() {
    if (handle_) static_cast<void>(Destroy(handle_));
  }
  [[nodiscard]] Handle get() const { return handle_; }
  [[nodiscard]] Handle* out() { return &handle_; }

 private:
  Handle handle_{};
};

using cublas_handle = cublas_object<cublasLtHandle_t, cublasLtDestroy>;

/// What a product is, and the three matrices.
class product_descriptors {
 public:
  /// @throws device_error
  explicit product_descriptors(const vendor_product& p) {
    const bool narrow = p.math == vendor_math::bf16;
    check_cublas(cublasLtMatmulDescCreate(operation_.out(),
                                          p.math == vendor_math::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                      : CUBLAS_COMPUTE_32F,
                                          CUDA_R_32F),
                 "cublasLtMatmulDescCreate");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    const cublasLtEpilogue_t with_bias =
        p.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
    const cublasLtEpilogue_t without = p.relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, p.bias ? with_bias : without);
    const cudaDataType_t type = narrow ? CUDA_R_16BF : CUDA_R_32F;
    layout(a_, type, p.pitch_a, stored_columns_a(p));
    layout(b_, type, p.pitch_b, stored_columns_b(p));
    layout(d_, CUDA_R_32F, p.pitch_d, p.columns);
  }

  [[nodiscard]] cublasLtMatmulDesc_t operation() const { return operation_.get(); }
  [[nodiscard]] cublasLtMatrixLayout_t a() const { return a_.get(); }
  [[nodiscard]] cublasLtMatrixLayout_t b() const { return b_.get(); }
  [[nodiscard]] cublasLtMatrixLayout_t d() const { return d_.get(); }
  void bias(const float* pointer) const { set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, pointer); }

 private:
  using layout_object = cublas_object<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t name, const T& value) const {
    check_cublas(cublasLtMatmulDescSetAttribute(operation_.get(), name, &value, sizeof(T)),
                 "cublasLtMatmulDescSetAttribute");
  }
  /// Every matrix is packed: its pitch is its rows.
  static void layout(layout_object& to, cudaDataType_t type, int rows, int columns) {
    check_cublas(cublasLtMatrixLayoutCreate(to.out(), type, static_cast<std::uint64_t>(rows),
                                            static_cast<std::uint64_t>(columns), rows),
                 "cublasLtMatrixLayoutCreate");
  }

  cublas_object<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> operation_;
  layout_object a_, b_, d_;
};

/// A product that is ready to run.
class product_plan {
 public:
  /// cuBLASLt's first choice, without timing; none if it has none. @throws device_error
  static std::optional<product_plan> find(const vendor_product& p, cublasLtHandle_t handle,
                                          std::size_t most_workspace) {
    product_descriptors what(p);
    cublas_object<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference;
    check_cublas(cublasLtMatmulPreferenceCreate(preference.out()),
                 "cublasLtMatmulPreferenceCreate");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t name, const auto& value) {
      check_cublas(
          cublasLtMatmulPreferenceSetAttribute(preference.get(), name, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(most_workspace));
    const auto alignment = static_cast<std::uint32_t>(p.alignment);
    for (const auto name :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      prefer(name, alignment);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, what.operation(), what.a(), what.b(), what.d(),
                                       what.d(), preference.get(), 1, &found, &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && count == 0))
      return {};
    check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
    return product_plan(std::move(what), found.algo, found.workspaceSize, p.accumulate);
  }

  struct operands {
    const void *a, *b;
    float* d;
    const float* bias;  ///< null: none
  };
  /// @throws device_error
  void run(cublasLtHandle_t handle, const operands& o, void* workspace, std::size_t bytes,
           cudaStream_t stream) const {
    if (o.bias) what_.bias(o.bias);
    const float one = 1, beta = accumulate_ ? 1.0f : 0.0f;
    check_cublas(
        cublasLtMatmul(handle, what_.operation(), &one, o.a, what_.a(), o.b, what_.b(), &beta, o.d,
                       what_.d(), o.d, what_.d(), &algorithm_, workspace, bytes, stream),
        "cublasLtMatmul");
  }
  [[nodiscard]] std::size_t workspace() const { return workspace_; }

 private:
  product_plan(product_descriptors what, const cublasLtMatmulAlgo_t& algorithm,
               std::size_t workspace, bool accumulate)
      : what_(std::move(what)),
        algorithm_(algorithm),
        workspace_(workspace),
        accumulate_(accumulate) {}

  product_descriptors what_;
  cublasLtMatmulAlgo_t algorithm_;
  std::size_t workspace_;
  bool accumulate_;
};

}  // namespace gantry::backend
