// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// cuDNN's plans for a pass of a convolution: chosen without timing, so that every run of a program
// takes the same one.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <cuda_runtime.h>
#include <cudnn_backend.h>

#include "gantry/backend/cuda/vendor_cudnn.cuh"

namespace gantry::inline v0::backend {

/// cuDNN on one stream. Plans that were made with it must go first.
class cudnn_session {
 public:
  /// @throws device_error
  explicit cudnn_session(cudaStream_t stream) {
    check_cudnn(cudnnCreate(&handle_), "cudnnCreate");
    const cudnnStatus_t status = cudnnSetStream(handle_, stream);
    if (status != CUDNN_STATUS_SUCCESS) static_cast<void>(cudnnDestroy(handle_));
    check_cudnn(status, "cudnnSetStream");
  }
  cudnn_session(const cudnn_session&) = delete;
  cudnn_session& operator=(const cudnn_session&) = delete;
  ~cudnn_session() { static_cast<void>(cudnnDestroy(handle_)); }
  [[nodiscard]] cudnnHandle_t get() const { return handle_; }

 private:
  cudnnHandle_t handle_{};
};

/// What plans are made for: the device of a handle, or one that is described by cuDNN's JSON and
/// need not be there.
class cudnn_device {
 public:
  explicit cudnn_device(cudnnHandle_t handle) : handle_(handle) {}
  explicit cudnn_device(std::string_view json)
      : described_(std::in_place, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR) {
    described_->set_all(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span(json)).finish();
  }
  [[nodiscard]] cudnnHandle_t handle() const { return handle_; }
  void describe(cudnn_descriptor& to, cudnnBackendAttributeName_t name) const {
    if (described_) to.set(name, *described_);
  }

 private:
  cudnnHandle_t handle_{};
  std::optional<cudnn_descriptor> described_;
};

/// Numbers of an engine that a pass does not allow: another order of sums in every run; in fp32
/// also rounded factors. Winograd's are allowed, as in every PyTorch.
inline bool is_allowed(cudnnBackendNumericalNote_t note, vendor_math math) {
  if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
      note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
      note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
    return false;
  return note != CUDNN_NUMERICAL_NOTE_TENSOR_CORE || math != vendor_math::fp32;
}

/// A pass that is ready to run.
class cudnn_plan {
 public:
  /// The first plan in cuDNN's order that the arithmetic allows and that needs at most so much
  /// workspace; none if cuDNN has none for these operations in one launch. @throws device_error
  static std::optional<cudnn_plan> find(const vendor_convolution& v, const cudnn_device& device,
                                        std::size_t most_workspace) {
    cudnn_graph graph(v, device.handle());
    for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
      for (cudnn_descriptor& configuration : proposals(graph, device, mode)) {
        if (!allows(configuration, v.math)) continue;
        cudnn_descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
        if (device.handle()) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, device.handle());
        device.describe(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
        // A proposal may turn out not to be supported.
        if (cudnnBackendFinalize(plan.get()) != CUDNN_STATUS_SUCCESS) continue;
        const auto bytes = static_cast<std::size_t>(
            plan.get_all(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, std::vector<std::int64_t>(1))
                .at(0));
        if (bytes > most_workspace) continue;
        return cudnn_plan(std::move(graph), std::move(configuration), std::move(plan), bytes);
      }
    return {};
  }

  [[nodiscard]] std::size_t workspace() const { return workspace_; }

  struct binding {
    conv_tensor name;
    void* pointer;
  };
  /// Starts the plan on the handle's stream. @throws device_error
  void run(cudnnHandle_t handle, std::span<const binding> tensors, void* workspace) const {
    std::vector<std::int64_t> names;
    std::vector<detail::device_pointer> pointers;
    for (const binding& t : tensors) {
      names.push_back(static_cast<std::int64_t>(t.name));
      pointers.push_back({t.pointer});
    }
    cudnn_descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set_all(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const std::int64_t>(names))
        .set_all(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                 std::span<const detail::device_pointer>(pointers))
        .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, detail::device_pointer{workspace})
        .finish();
    check_cudnn(cudnnBackendExecute(handle, plan_.get(), pack.get()), "cudnnBackendExecute");
  }

 private:
  cudnn_plan(cudnn_graph graph, cudnn_descriptor configuration, cudnn_descriptor plan,
             std::size_t workspace)
      : graph_(std::move(graph)),
        configuration_(std::move(configuration)),
        plan_(std::move(plan)),
        workspace_(workspace) {}

  static std::vector<cudnn_descriptor> proposals(const cudnn_graph& graph,
                                                 const cudnn_device& device,
                                                 cudnnBackendHeurMode_t mode) {
    constexpr std::size_t most = 24;
    cudnn_descriptor search(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    search.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.descriptor())
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
    device.describe(search, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
    // Operations that no engine takes together are no error here.
    if (cudnnBackendFinalize(search.get()) != CUDNN_STATUS_SUCCESS) return {};
    std::vector<cudnn_descriptor> found;
    std::vector<cudnnBackendDescriptor_t> handles;
    for (std::size_t i = 0; i < most; ++i)
      handles.push_back(found.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
    const std::size_t count = search.get_all(CUDNN_ATTR_ENGINEHEUR_RESULTS, handles).size();
    while (found.size() > count) found.pop_back();
    return found;
  }
  static bool allows(const cudnn_descriptor& configuration, vendor_math math) {
    const cudnn_descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    static_cast<void>(
        configuration.get_all(CUDNN_ATTR_ENGINECFG_ENGINE, std::vector{engine.get()}));
    const auto notes =
        engine.get_all(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                       std::vector<cudnnBackendNumericalNote_t>(CUDNN_NUMERICAL_NOTE_TYPE_COUNT));
    return std::ranges::all_of(notes, [&](auto note) { return is_allowed(note, math); });
  }

  cudnn_graph graph_;
  cudnn_descriptor configuration_, plan_;
  std::size_t workspace_;
};

}  // namespace gantry::backend
