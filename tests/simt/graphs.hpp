// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Graphs of CUDA's runtime: captured, or made node by node.
#pragma once

#include "simt/runtime.hpp"

namespace simt {

/// cudaGraphAddKernelNode and cudaGraphExecKernelNodeSetParams, of a kernel whose type is known.
/// Nodes run in the order in which they were added.
template <class... P>
cudaError_t add_kernel(cudaGraphNode_t* node, cudaGraph_t graph, void (*kernel)(P...),
                       const launch_shape& shape, const std::type_identity_t<P>&... arguments) {
  const runtime_guard guard(runtime_state::instance().mutex);
  if (const auto e = check_launch(kernel, shape)) return e;
  *node = &graph->handles.emplace_back(CUgraphNode_st{graph->nodes.size()});
  graph->nodes.push_back(bound_kernel(kernel, shape, arguments...));
  return cudaSuccess;
}
template <class... P>
cudaError_t set_kernel(cudaGraphExec_t graph, cudaGraphNode_t node, void (*kernel)(P...),
                       const launch_shape& shape, const std::type_identity_t<P>&... arguments) {
  const runtime_guard guard(runtime_state::instance().mutex);
  if (const auto e = check_launch(kernel, shape)) return e;
  graph->nodes[node->index] = bound_kernel(kernel, shape, arguments...);
  return cudaSuccess;
}

}  // namespace simt

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (!stream) return r.note(cudaErrorStreamCaptureUnsupported);
  stream->capture = new CUgraph_st;
  stream->is_origin = true;
  stream->is_broken = false;
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  CUgraph_st* captured = stream->capture;
  if (!captured || !stream->is_origin) return r.note(cudaErrorInvalidValue);
  bool broken = false;
  for (CUstream_st* s : r.streams) {
    if (s->capture != captured) continue;
    broken = broken || s->is_broken;
    s->capture = nullptr;
    s->is_origin = s->is_broken = false;
  }
  *graph = broken ? nullptr : captured;
  if (broken) delete captured;
  return broken ? r.note(cudaErrorStreamCaptureInvalidated) : cudaSuccess;
}
inline cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  *graph = new CUgraph_st;
  return cudaSuccess;
}
/// Of a copy in three dimensions only a single row is known here.
struct cudaPitchedPtr {
  void* ptr;
  std::size_t pitch, xsize, ysize;
};
struct cudaExtent {
  std::size_t width, height, depth;
};
struct cudaMemcpy3DParms {
  cudaPitchedPtr srcPtr, dstPtr;
  cudaExtent extent;
  cudaMemcpyKind kind;
};
inline cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                          const cudaGraphNode_t*, std::size_t,
                                          const cudaMemcpy3DParms* p) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  void *to = p->dstPtr.ptr, *from = p->srcPtr.ptr;
  const std::size_t bytes = p->extent.width;
  if (p->extent.height * p->extent.depth != 1) return r.note(cudaErrorInvalidValue);
  if (const auto e = simt::check_copy(to, from, bytes, p->kind)) return e;
  *node = &graph->handles.emplace_back(CUgraphNode_st{graph->nodes.size()});
  graph->nodes.push_back([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t e, cudaGraphNode_t node,
                                                    const cudaMemcpy3DParms* p) {
  const simt::runtime_guard guard(simt::runtime_state::instance().mutex);
  e->nodes[node->index] = [c = *p] { std::memcpy(c.dstPtr.ptr, c.srcPtr.ptr, c.extent.width); };
  return simt::check_copy(p->dstPtr.ptr, p->srcPtr.ptr, p->extent.width, p->kind);
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                        unsigned long long = 0) {
  *executable = new CUgraphExec_st{graph->nodes};
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  return r.enqueue(stream, [&r, nodes = executable->nodes] {
    for (const auto& node : nodes)
      if (r.sticky == cudaSuccess) node();
  });
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
/// What was captured as a node of another graph.
inline cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                              const cudaGraphNode_t*, std::size_t,
                                              cudaGraph_t child) {
  const simt::runtime_guard guard(simt::runtime_state::instance().mutex);
  *node = &graph->handles.emplace_back(CUgraphNode_st{graph->nodes.size()});
  graph->nodes.push_back([nodes = child->nodes] {
    for (const auto& one : nodes) one();
  });
  return cudaSuccess;
}
