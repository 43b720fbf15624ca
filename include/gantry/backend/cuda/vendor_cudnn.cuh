// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Convolutions through cuDNN's graph API: descriptors, graphs of a pass with its bias and
// activation, and plans. A graph can be built without a device; plans can be made for the
// description of one.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <cudnn_backend.h>

#include "gantry/backend/cuda/vendor_layout.hpp"
#include "gantry/base/error.hpp"

namespace gantry::inline v0::backend {

/// @throws device_error that names the call
inline void check_cudnn(cudnnStatus_t status, const char* call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 512> reason{};
  cudnnGetLastErrorString(reason.data(), reason.size());
  throw device_error(call, cudnnGetErrorString(status),
                     reason[0] ? reason.data() : "cuDNN gives no reason");
}

namespace detail {

/// A pointer of a tensor or of the workspace; a descriptor is a void*, too.
struct device_pointer {
  void* address;
};

template <class T>
inline constexpr cudnnBackendAttributeType_t attribute_type = CUDNN_TYPE_INT64;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<double> = CUDNN_TYPE_DOUBLE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<bool> = CUDNN_TYPE_BOOLEAN;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<char> = CUDNN_TYPE_CHAR;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<device_pointer> = CUDNN_TYPE_VOID_PTR;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnHandle_t> = CUDNN_TYPE_HANDLE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnDataType_t> = CUDNN_TYPE_DATA_TYPE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnConvolutionMode_t> =
    CUDNN_TYPE_CONVOLUTION_MODE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnBackendHeurMode_t> =
    CUDNN_TYPE_HEUR_MODE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnPointwiseMode_t> =
    CUDNN_TYPE_POINTWISE_MODE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnBackendNumericalNote_t> =
    CUDNN_TYPE_NUMERICAL_NOTE;
template <>
inline constexpr cudnnBackendAttributeType_t attribute_type<cudnnBackendDescriptor_t> =
    CUDNN_TYPE_BACKEND_DESCRIPTOR;

}  // namespace detail

/// One object of cuDNN's backend API; move-only.
class cudnn_descriptor {
 public:
  explicit cudnn_descriptor(cudnnBackendDescriptorType_t type) {
    check_cudnn(cudnnBackendCreateDescriptor(type, &handle_), "cudnnBackendCreateDescriptor");
  }
  cudnn_descriptor(cudnn_descriptor&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  cudnn_descriptor& operator=(cudnn_descriptor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  cudnn_descriptor(const cudnn_descriptor&) = delete;
  cudnn_descriptor& operator=(const cudnn_descriptor&) = delete;
  ~cudnn_descriptor() {
    if (handle_) static_cast<void>(cudnnBackendDestroyDescriptor(handle_));
  }

  [[nodiscard]] const cudnnBackendDescriptor_t& get() const { return handle_; }

  template <class T>
  cudnn_descriptor& set_all(cudnnBackendAttributeName_t name, std::span<const T> values) {
    check_cudnn(cudnnBackendSetAttribute(handle_, name, detail::attribute_type<T>,
                                         static_cast<std::int64_t>(values.size()), values.data()),
                "cudnnBackendSetAttribute");
    return *this;
  }
  template <class T>
  cudnn_descriptor& set(cudnnBackendAttributeName_t name, const T& value) {
    return set_all(name, std::span(&value, 1));
  }
  cudnn_descriptor& set(cudnnBackendAttributeName_t name, const cudnn_descriptor& other) {
    return set(name, other.handle_);
  }
  cudnn_descriptor& finish() {
    check_cudnn(cudnnBackendFinalize(handle_), "cudnnBackendFinalize");
    return *this;
  }
  /// At most `most` values. Descriptors are written to those that `into` has.
  template <class T>
  [[nodiscard]] std::vector<T> get_all(cudnnBackendAttributeName_t name,
                                       std::vector<T> into) const {
    std::int64_t found = 0;
    check_cudnn(
        cudnnBackendGetAttribute(handle_, name, detail::attribute_type<T>,
                                 static_cast<std::int64_t>(into.size()), &found, into.data()),
        "cudnnBackendGetAttribute");
    into.resize(std::min(into.size(), static_cast<std::size_t>(found)));
    return into;
  }

 private:
  cudnnBackendDescriptor_t handle_{};
};

/// The names by which a plan is given its pointers.
enum class conv_tensor : std::int64_t { image = 1, filter, map, bias, virtual_sum, virtual_biased };

/// A pass with its bias and function as cuDNN's operations; keeps what they refer to.
class cudnn_graph {
 public:
  /// handle: null without a device. @throws device_error
  cudnn_graph(const vendor_convolution& v, cudnnHandle_t handle)
      : v_(v), graph_(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    parts_.reserve(16);
    const bool has_function = v.function != vendor_function::identity;
    const std::size_t sum =
        v.bias || has_function ? virtual_result(conv_tensor::virtual_sum) : operand(result_name());
    convolution(sum);
    std::size_t last = sum;
    if (v.bias) {
      const std::size_t bias = tensor(conv_tensor::bias, bias_tensor(v), CUDNN_DATA_FLOAT, false);
      const std::size_t to =
          has_function ? virtual_result(conv_tensor::virtual_biased) : operand(result_name());
      pointwise(CUDNN_POINTWISE_ADD, last, to, bias);
      last = to;
    }
    if (has_function) pointwise(mode(), last, operand(result_name()));
    std::vector<cudnnBackendDescriptor_t> operations;
    for (const std::size_t i : operations_) operations.push_back(parts_[i].get());
    graph_.set_all(CUDNN_ATTR_OPERATIONGRAPH_OPS,
                   std::span<const cudnnBackendDescriptor_t>(operations));
    if (handle) graph_.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle);
    graph_.finish();
  }

  [[nodiscard]] const cudnn_descriptor& descriptor() const { return graph_; }
  [[nodiscard]] std::size_t operations() const { return operations_.size(); }

 private:
  [[nodiscard]] conv_tensor result_name() const {
    return v_.pass == conv_pass::forward         ? conv_tensor::map
           : v_.pass == conv_pass::backward_data ? conv_tensor::image
                                                 : conv_tensor::filter;
  }
  std::size_t add(cudnn_descriptor part) {
    parts_.push_back(std::move(part));
    return parts_.size() - 1;
  }
  std::size_t tensor(conv_tensor name, const vendor_tensor& t, cudnnDataType_t type,
                     bool is_virtual) {
    cudnn_descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type)
        .set_all(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const std::int64_t>(t.extents))
        .set_all(CUDNN_ATTR_TENSOR_STRIDES, std::span<const std::int64_t>(t.strides))
        .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, static_cast<std::int64_t>(name))
        .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT,
             std::int64_t{name == conv_tensor::bias ? 4 : v_.alignment})
        .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, is_virtual)
        .finish();
    return add(std::move(d));
  }
  /// What is in memory has one type; a bias is fp32.
  std::size_t operand(conv_tensor name) {
    const vendor_tensor t = name == conv_tensor::image    ? image_tensor(v_)
                            : name == conv_tensor::filter ? filter_tensor(v_)
                                                          : map_tensor(v_);
    return tensor(name, t, v_.math == vendor_math::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT,
                  false);
  }
  std::size_t virtual_result(conv_tensor name) {
    return tensor(name, result_tensor(v_), CUDNN_DATA_FLOAT, true);
  }

  [[nodiscard]] std::size_t geometry() {
    const std::array<std::int64_t, 2> pads{v_.g.pad, v_.g.pad}, ones{1, 1},
        strides{v_.g.stride, v_.g.stride};
    cudnn_descriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2})
        .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
        .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
        .set_all(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, std::span<const std::int64_t>(pads))
        .set_all(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, std::span<const std::int64_t>(pads))
        .set_all(CUDNN_ATTR_CONVOLUTION_DILATIONS, std::span<const std::int64_t>(ones))
        .set_all(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, std::span<const std::int64_t>(strides))
        .finish();
    return add(std::move(d));
  }

  /// The attributes of one pass's operation.
  struct names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t image, filter, map, geometry, alpha, beta;
  };
  [[nodiscard]] static names names_of(conv_pass pass) {
    switch (pass) {
      case conv_pass::forward:
        return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
      case conv_pass::backward_data:
        return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
      default:
        return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
    }
  }
  void convolution(std::size_t result) {
    const names a = names_of(v_.pass);
    const auto part = [&](conv_tensor name) {
      return name == result_name() ? result : operand(name);
    };
    const std::size_t image = part(conv_tensor::image), filter = part(conv_tensor::filter),
                      map = part(conv_tensor::map), shape = geometry();
    cudnn_descriptor d(a.type);
    d.set(a.image, parts_[image])
        .set(a.filter, parts_[filter])
        .set(a.map, parts_[map])
        .set(a.geometry, parts_[shape])
        .set(a.alpha, 1.0)
        .set(a.beta, v_.accumulate ? 1.0 : 0.0)
        .finish();
    operations_.push_back(add(std::move(d)));
  }

  [[nodiscard]] cudnnPointwiseMode_t mode() const {
    return v_.function == vendor_function::tanh      ? CUDNN_POINTWISE_TANH_FWD
           : v_.function == vendor_function::sigmoid ? CUDNN_POINTWISE_SIGMOID_FWD
                                                     : CUDNN_POINTWISE_RELU_FWD;
  }
  void pointwise(cudnnPointwiseMode_t mode, std::size_t from, std::size_t to,
                 std::optional<std::size_t> second = {}) {
    cudnn_descriptor kind(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    kind.set(CUDNN_ATTR_POINTWISE_MODE, mode).set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    if (mode == CUDNN_POINTWISE_RELU_FWD && v_.function == vendor_function::leaky_relu)
      kind.set(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, static_cast<double>(v_.slope));
    const std::size_t index = add(std::move(kind.finish()));
    cudnn_descriptor d(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, parts_[index])
        .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, parts_[from])
        .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, parts_[to]);
    if (second) d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, parts_[*second]);
    operations_.push_back(add(std::move(d.finish())));
  }

  vendor_convolution v_;
  std::vector<cudnn_descriptor> parts_;
  std::vector<std::size_t> operations_;  ///< in parts_
  cudnn_descriptor graph_;
};

}  // namespace gantry::backend
