// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Work of a library in a recorder's graphs: what it launches is captured once and becomes one node.
#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <utility>

#include <cuda_runtime.h>

#include "gantry/kernels/common/recorder.cuh"

namespace gantry::inline v0::kernels {

/// What `work` launches on the stream. Relaxed: a library may ask the runtime for what a capture
/// else forbids, and other threads go on.
inline cudaGraph_t capture(cudaStream_t stream, const std::function<void()>& work) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  cudaGraph_t graph{};
  try {
    work();
  } catch (...) {
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess && graph)
      static_cast<void>(cudaGraphDestroy(graph));
    static_cast<void>(cudaGetLastError());
    throw;
  }
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  return graph;
}

inline void launch_recorder::call(std::span<const std::byte> key, std::function<void()> work) {
  static constexpr char any_library{};
  if (!known()) {
    const cudaGraph_t captured = capture(stream_, work);
    entry& e = append();
    e.function = &any_library;
    e.arguments.assign(key.begin(), key.end());
    e.work = std::move(work);
    e.start = [](const entry& self, cudaStream_t) { self.work(); };
    const cudaGraphNode_t previous = before();
    const cudaError_t status =
        cudaGraphAddChildGraphNode(&e.node, last().graph, &previous, previous ? 1 : 0, captured);
    static_cast<void>(cudaGraphDestroy(captured));
    check(status, "cudaGraphAddChildGraphNode");
    ++next_;
    return;
  }
  const entry* e = recorded();
  if (!e || e->function != &any_library || !std::ranges::equal(e->arguments, key)) {
    differ();
    return work();
  }
  ++next_;
}

}  // namespace gantry::kernels
