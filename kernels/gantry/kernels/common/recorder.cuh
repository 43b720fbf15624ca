// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A sequence of kernels and copies as CUDA graphs. The code that starts them is walked every time:
// the first walk builds the graphs, later ones hand over the arguments that have changed since. A
// graph ends where the host waits, so that its results are there when they are read.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <cuda_runtime.h>

#include "gantry/kernels/common/check.cuh"

namespace gantry::inline v0::kernels {

/// Grid, threads of a block, bytes of dynamic shared memory.
struct launch_size {
  dim3 grid;
  unsigned threads;
  std::size_t shared_bytes{};
  friend bool operator==(const launch_size& a, const launch_size& b) {
    return a.grid.x == b.grid.x && a.grid.y == b.grid.y && a.grid.z == b.grid.z &&
           a.threads == b.threads && a.shared_bytes == b.shared_bytes;
  }
};

/// Starts a kernel on a stream.
template <class Params>
void start_now(void (*kernel)(Params), const launch_size& size, const Params& params,
               cudaStream_t stream) {
#if defined(__CUDACC__)
  kernel<<<size.grid, size.threads, size.shared_bytes, stream>>>(params);
  check(cudaGetLastError(), "A kernel's launch");
#else
  check(simt::launch(kernel, {size.grid, size.threads, size.shared_bytes}, stream, params),
        "A kernel's launch");
#endif
}

/// Adds a kernel behind `before` (null: at the beginning).
template <class Params>
cudaGraphNode_t add_kernel(cudaGraph_t graph, cudaGraphNode_t before, void (*kernel)(Params),
                           const launch_size& size, Params params) {
  cudaGraphNode_t node{};
#if defined(__CUDACC__)
  void* arguments[] = {&params};
  cudaKernelNodeParams all{};
  all.func = reinterpret_cast<void*>(kernel);
  all.gridDim = size.grid;
  all.blockDim = dim3(size.threads);
  all.sharedMemBytes = static_cast<unsigned>(size.shared_bytes);
  all.kernelParams = arguments;
  check(cudaGraphAddKernelNode(&node, graph, &before, before ? 1 : 0, &all),
        "cudaGraphAddKernelNode");
#else
  static_cast<void>(before);
  check(
      simt::add_kernel(&node, graph, kernel, {size.grid, size.threads, size.shared_bytes}, params),
      "cudaGraphAddKernelNode");
#endif
  return node;
}

/// Gives a kernel of an executable graph other arguments.
template <class Params>
void set_kernel(cudaGraphExec_t graph, cudaGraphNode_t node, void (*kernel)(Params),
                const launch_size& size, Params params) {
#if defined(__CUDACC__)
  void* arguments[] = {&params};
  cudaKernelNodeParams all{};
  all.func = reinterpret_cast<void*>(kernel);
  all.gridDim = size.grid;
  all.blockDim = dim3(size.threads);
  all.sharedMemBytes = static_cast<unsigned>(size.shared_bytes);
  all.kernelParams = arguments;
  check(cudaGraphExecKernelNodeSetParams(graph, node, &all), "cudaGraphExecKernelNodeSetParams");
#else
  check(simt::set_kernel(graph, node, kernel, {size.grid, size.threads, size.shared_bytes}, params),
        "cudaGraphExecKernelNodeSetParams");
#endif
}

/// Graphs of one sequence. A sequence that is not the recorded one is noticed at its first
/// difference: the rest of that walk runs without graphs, and the next walk records from there.
/// After some of those nothing is recorded any more, unless many equal walks lie between them. A
/// walk that starts nothing says nothing about the sequence.
class launch_recorder {
 public:
  launch_recorder() = default;
  launch_recorder(const launch_recorder&) = delete;
  launch_recorder& operator=(const launch_recorder&) = delete;
  ~launch_recorder() { drop(0); }

  void begin(cudaStream_t stream) {
    stream_ = stream;
    segment_ = next_ = 0;
    state_ = changes_ < most_changes ? state::walking : state::direct;
  }
  /// Starts what is left and leaves the sequence.
  void end() {
    flush();
    if (state_ == state::walking && segment_ > 0) {
      if (segment_ < segments_.size())
        differ();  // it has become shorter
      else if (++equal_ == most_equal)
        changes_ = 0;
    }
    state_ = state::off;
  }
  /// Leaves it after an error: nothing that is recorded can be trusted.
  void abandon() {
    state_ = state::off;
    drop(0);
  }
  [[nodiscard]] bool active() const { return state_ == state::walking; }
  /// Graphs that a walk launches, and how often a walk was not the recorded one.
  [[nodiscard]] std::size_t graphs() const { return segments_.size(); }
  [[nodiscard]] int changes() const { return changes_; }

  /// In place of a launch, while active().
  template <class Params>
  void kernel(void (*function)(Params), const launch_size& size, const Params& params) {
    const auto address = reinterpret_cast<const void*>(function);
    if (!known()) {
      entry& e = append();
      e.function = address;
      e.size = size;
      e.arguments.resize(sizeof(Params));
      std::memcpy(e.arguments.data(), &params, sizeof(Params));
      e.start = [](const entry& self, cudaStream_t stream) {
        start_now(reinterpret_cast<void (*)(Params)>(const_cast<void*>(self.function)), self.size,
                  *reinterpret_cast<const Params*>(self.arguments.data()), stream);
      };
      e.node = add_kernel(last().graph, before(), function, size, params);
      ++next_;
      return;
    }
    entry* e = recorded();
    if (!e || e->function != address || !(e->size == size)) {
      differ();
      return start_now(function, size, params, stream_);
    }
    if (std::memcmp(e->arguments.data(), &params, sizeof(Params)) != 0) {
      set_kernel(segments_[segment_]->executable, e->node, function, size, params);
      std::memcpy(e->arguments.data(), &params, sizeof(Params));
    }
    ++next_;
  }

  /// In place of work that a library launches, while active(): `work` starts it on the stream,
  /// `key` says what it is and on which arrays. In captured.cuh.
  void call(std::span<const std::byte> key, std::function<void()> work);

  /// A copy from pinned host memory that is the recorder's: where its numbers are to be put, or
  /// null if this walk is not active any more.
  float* copy(float* target, std::size_t count);

  /// Launches what has been walked over so far: the host is about to wait.
  void flush();

 private:
  enum class state { off, walking, direct };
  static constexpr int most_changes = 8, most_equal = 64;

  struct entry {
    std::function<void()> work;  ///< of call(), behind `start`
    const void* function{};      ///< null: a copy
    launch_size size{};
    std::vector<std::byte> arguments;
    void (*start)(const entry&, cudaStream_t){};
    cudaGraphNode_t node{};
    float* pinned[2]{};
    float* target{};
    std::size_t count{};
  };
  /// Walks take its pinned memory by turns, so that the host fills the one half while the device
  /// copies from the other.
  struct segment {
    cudaGraph_t graph{};
    cudaGraphExec_t executable{};
    cudaEvent_t launched[2]{};
    int turn{};
    std::vector<entry> entries;
  };

  /// Whether the walk is within what is recorded; else there is a segment to append to.
  [[nodiscard]] bool known() const {
    return segment_ < segments_.size() && segments_[segment_]->executable;
  }
  segment& last() { return *segments_.back(); }
  entry& append();
  /// The next of what is recorded, null behind its end.
  entry* recorded() {
    auto& entries = segments_[segment_]->entries;
    return next_ < entries.size() ? &entries[next_] : nullptr;
  }
  cudaGraphNode_t before() {
    const auto& entries = last().entries;
    return entries.size() > 1 ? entries[entries.size() - 2].node : cudaGraphNode_t{};
  }
  void differ();
  void drop(std::size_t first) noexcept;

  cudaStream_t stream_{};
  state state_{state::off};
  std::vector<std::unique_ptr<segment>> segments_;
  std::size_t segment_{}, next_{};
  int changes_{};
  int equal_{};  ///< walks since the last change
};

inline launch_recorder::entry& launch_recorder::append() {
  if (segment_ == segments_.size()) {
    segments_.push_back(std::make_unique<segment>());
    check(cudaGraphCreate(&last().graph, 0), "cudaGraphCreate");
    for (cudaEvent_t& launched : last().launched)
      check(cudaEventCreateWithFlags(&launched, cudaEventDisableTiming),
            "cudaEventCreateWithFlags");
  }
  return last().entries.emplace_back();
}

/// A copy of a row of numbers from pinned memory.
inline cudaMemcpy3DParms row_copy(float* target, float* pinned, std::size_t count) {
  const std::size_t bytes = count * sizeof(float);
  cudaMemcpy3DParms row{};
  row.srcPtr = {pinned, bytes, bytes, 1};
  row.dstPtr = {target, bytes, bytes, 1};
  row.extent = {bytes, 1, 1};
  row.kind = cudaMemcpyHostToDevice;
  return row;
}

inline float* launch_recorder::copy(float* target, std::size_t count) {
  if (!known()) {
    entry& e = append();
    e.target = target;
    e.count = count;
    for (float*& pinned : e.pinned)
      check(cudaMallocHost(&pinned, count * sizeof(float)), "cudaMallocHost");
    const cudaMemcpy3DParms row = row_copy(target, e.pinned[last().turn], count);
    const cudaGraphNode_t previous = before();
    check(cudaGraphAddMemcpyNode(&e.node, last().graph, &previous, previous ? 1 : 0, &row),
          "cudaGraphAddMemcpyNode");
    ++next_;
    return e.pinned[last().turn];
  }
  entry* e = recorded();
  if (!e || e->target != target || e->count != count) {
    differ();
    return nullptr;
  }
  const segment& s = *segments_[segment_];
  check(cudaEventSynchronize(s.launched[s.turn]), "cudaEventSynchronize");  // of two walks ago
  const cudaMemcpy3DParms row = row_copy(target, e->pinned[s.turn], count);
  check(cudaGraphExecMemcpyNodeSetParams(s.executable, e->node, &row),
        "cudaGraphExecMemcpyNodeSetParams");
  ++next_;
  return e->pinned[s.turn];
}

inline void launch_recorder::flush() {
  if (state_ != state::walking || next_ == 0) return;
  segment& s = *segments_[segment_];
  if (!s.executable) {
    check(cudaGraphInstantiate(&s.executable, s.graph, 0), "cudaGraphInstantiate");
  } else if (next_ != s.entries.size()) {
    return differ();
  }
  check(cudaGraphLaunch(s.executable, stream_), "cudaGraphLaunch");
  check(cudaEventRecord(s.launched[s.turn], stream_), "cudaEventRecord");
  s.turn = 1 - s.turn;
  ++segment_;
  next_ = 0;
}

/// What this walk has passed of the segment runs one by one; the rest of the walk does, too.
inline void launch_recorder::differ() {
  state_ = state::direct;
  ++changes_;
  equal_ = 0;
  if (segment_ < segments_.size()) {
    const segment& s = *segments_[segment_];
    for (std::size_t i = 0; i < next_; ++i) {
      const entry& e = s.entries[i];
      if (e.function)
        e.start(e, stream_);
      else
        check(cudaMemcpyAsync(e.target, e.pinned[s.turn], e.count * sizeof(float),
                              cudaMemcpyHostToDevice, stream_),
              "cudaMemcpyAsync");
    }
  }
  drop(segment_);
}

inline void launch_recorder::drop(std::size_t first) noexcept {
  if (first >= segments_.size()) return;
  static_cast<void>(cudaStreamSynchronize(stream_));  // graphs and pinned memory may be in use
  for (std::size_t i = first; i < segments_.size(); ++i) {
    segment& s = *segments_[i];
    for (const entry& e : s.entries)
      for (float* pinned : e.pinned)
        if (pinned) static_cast<void>(cudaFreeHost(pinned));
    if (s.executable) static_cast<void>(cudaGraphExecDestroy(s.executable));
    if (s.graph) static_cast<void>(cudaGraphDestroy(s.graph));
    for (const cudaEvent_t launched : s.launched)
      if (launched) static_cast<void>(cudaEventDestroy(launched));
  }
  segments_.resize(first);
}

}  // namespace gantry::kernels
