// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What was captured as a node of another graph.
#pragma once

#include <cstddef>

#include "simt/runtime.hpp"

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
