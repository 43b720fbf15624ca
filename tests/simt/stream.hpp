// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Streams, events and graphs. Streams are lazy: queued work runs when something waits for it, and a
// dependency between streams runs only what it names, so that a missing wait shows as stale data.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simt/memory.hpp"

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901
};

struct CUgraphNode_st {
  std::size_t index;  ///< among the graph's nodes, which run in their order
};
struct CUgraph_st {
  std::vector<std::function<void()>> nodes;
  std::deque<CUgraphNode_st> handles;  ///< of nodes that were added by hand
};
struct CUgraphExec_st {
  std::vector<std::function<void()>> nodes;
};
struct CUstream_st {
  struct work {
    std::vector<std::pair<CUstream_st*, std::uint64_t>> after;
    std::function<void()> run;
  };
  std::deque<work> queue;
  std::uint64_t queued = 0, done = 0;
  int device = 0;
  bool waits_for_legacy = true;
  CUgraph_st* capture = nullptr;
  bool is_origin = false, is_broken = false;
};
struct CUevent_st {
  int device = 0;
  CUstream_st* stream = nullptr;
  std::uint64_t position = 0;
  CUgraph_st* capture = nullptr;
};
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;
using cudaGraph_t = CUgraph_st*;
using cudaGraphNode_t = CUgraphNode_st*;
using cudaGraphExec_t = CUgraphExec_st*;

namespace simt {

/// What the calls of the runtime share; as there, one thread at a time is inside.
struct runtime_state {
  static inline thread_local int device = 0;  ///< the calling thread's
  static runtime_state& instance() {
    static runtime_state& s = *new runtime_state;
    return s;
  }
  runtime_state() : legacy(static_cast<std::size_t>(settings().devices)) {
    for (int i = 0; i < settings().devices; ++i) legacy_of(i).device = i;
    if (settings().report) std::atexit([] { instance().write_report(); });
  }
  std::recursive_mutex mutex;
  std::deque<CUstream_st> legacy;  ///< of each device
  std::set<CUstream_st*> streams;
  /// Bytes that a kernel was allowed on a device.
  std::map<std::pair<int, const void*>, std::size_t> most_shared;
  cudaError_t last_error = cudaSuccess;
  cudaError_t sticky = cudaSuccess;  ///< a failed kernel spoils all that follows
  std::string message;               ///< what the engine said
  std::size_t waits{};               ///< of the host for a stream

  std::vector<std::size_t> kernels_of_device =
      std::vector<std::size_t>(static_cast<std::size_t>(settings().devices));

  void write_report() const {
    std::FILE* const file = std::fopen(settings().report, "a");
    if (!file) return;
    for (const char* before = "["; const std::size_t kernels : kernels_of_device) {
      std::fprintf(file, "%s%zu", before, kernels);
      before = ", ";
    }
    std::fputs("]\n", file);
    std::fclose(file);
  }
  cudaError_t note(cudaError_t e) {
    if (e != cudaSuccess) last_error = e;
    return e;
  }
  CUstream_st& legacy_of(int of) { return legacy[static_cast<std::size_t>(of)]; }
  CUstream_st& of(cudaStream_t s) { return s ? *s : legacy_of(device); }
  [[nodiscard]] bool exists(const CUstream_st* s) const {
    return std::any_of(legacy.begin(), legacy.end(), [&](const auto& l) { return s == &l; }) ||
           streams.count(const_cast<CUstream_st*>(s)) != 0;
  }
  /// A kernel's stream and an event's are those of the calling thread's device.
  cudaError_t refuse_other_device(int of) {
    return note(of == device ? cudaSuccess : cudaErrorInvalidResourceHandle);
  }

  void drain(CUstream_st& s, std::uint64_t until) {
    const device_heap::access open(device_heap::instance());
    while (s.done < until && !s.queue.empty()) {
      const auto work = std::move(s.queue.front());
      s.queue.pop_front();
      for (const auto& [other, position] : work.after)
        if (exists(other)) drain(*other, position);
      if (work.run && sticky == cudaSuccess) work.run();
      ++s.done;
    }
  }
  void drain(CUstream_st& s) { drain(s, s.queued); }
  void wait_for(CUstream_st& s) {
    ++waits;
    drain(s);
  }
  void drain_all() {
    for (CUstream_st& s : legacy) drain(s);
    for (CUstream_st* s : streams) drain(*s);
  }

  cudaError_t enqueue(cudaStream_t stream, std::function<void()> run) {
    if (sticky != cudaSuccess) return note(sticky);
    CUstream_st& s = of(stream);
    if (s.capture) {
      s.capture->nodes.push_back(std::move(run));
      return cudaSuccess;
    }
    CUstream_st::work work{{}, std::move(run)};
    CUstream_st& first = legacy_of(s.device);
    if (&s == &first) {
      for (CUstream_st* other : streams)
        if (other->waits_for_legacy && other->device == s.device)
          work.after.emplace_back(other, other->queued);
    } else if (s.waits_for_legacy) {
      work.after.emplace_back(&first, first.queued);
    }
    s.queue.push_back(std::move(work));
    ++s.queued;
    if (!settings().lazy_streams) drain(s);
    return cudaSuccess;
  }
  /// Calls that wait or allocate end a capture.
  cudaError_t refuse_in_capture() {
    for (CUstream_st* s : streams)
      if (s->capture) {
        s->is_broken = true;
        return note(cudaErrorStreamCaptureUnsupported);
      }
    return cudaSuccess;
  }
};

using runtime_guard = std::lock_guard<std::recursive_mutex>;

}  // namespace simt
