// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// NCCL's communicators, made without blocking, and the streams, events and memory that their
// messages take.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <cuda_runtime.h>
#include <nccl.h>

#include "gantry/base/error.hpp"

namespace gantry::inline v0::comm {

/// @throws device_error that names the call and CUDA's reason
inline void check_cuda(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw device_error(call, cudaGetErrorName(status), cudaGetErrorString(status));
}

/// @throws error that names the call and NCCL's reason
inline void check_nccl(ncclResult_t status, const char* call, ncclComm_t comm = nullptr) {
  if (status == ncclSuccess || status == ncclInProgress) return;
  const char* more = ncclGetLastError(comm);
  throw error(std::string("expected ") + call + " to succeed, found \"" +
              ncclGetErrorString(status) + (more && *more ? std::string(", ") + more : "") +
              "\"; look at what the other ranks print, and start with NCCL_DEBUG=WARN");
}

/// What a group of ranks is joined by, one byte in a float, as a control message carries it.
struct nccl_id {
  static constexpr std::size_t size = sizeof(ncclUniqueId::internal);
  std::array<float, size> bytes{};

  static nccl_id make() {
    ncclUniqueId made;
    check_nccl(ncclGetUniqueId(&made), "ncclGetUniqueId");
    nccl_id id;
    for (std::size_t i = 0; i < size; ++i)
      id.bytes[i] = static_cast<float>(static_cast<unsigned char>(made.internal[i]));
    return id;
  }
  [[nodiscard]] ncclUniqueId unique() const {
    ncclUniqueId id;
    for (std::size_t i = 0; i < size; ++i)
      id.internal[i] = static_cast<char>(static_cast<unsigned char>(bytes[i]));
    return id;
  }
};

/// A communicator of NCCL that never blocks the host: what it begins is under way until `is_ready`.
/// Who owns it ends it, with `end` if all that was begun is done, else with `abort`.
class nccl_group {
 public:
  nccl_group() = default;
  /// Joins the group of that id. `blocks` bounds the multiprocessors that its messages take; 0
  /// leaves that to NCCL. @throws error
  nccl_group(int size, const nccl_id& id, int rank, int blocks) {
    ncclConfig_t config = configuration(blocks);
    check_nccl(ncclCommInitRankConfig(&comm_, size, id.unique(), rank, &config),
               "ncclCommInitRankConfig");
  }
  nccl_group(nccl_group&& other) noexcept : comm_(std::exchange(other.comm_, nullptr)) {}
  nccl_group& operator=(nccl_group&& other) noexcept {
    std::swap(comm_, other.comm_);
    return *this;
  }
  ~nccl_group() { abort(); }

  [[nodiscard]] ncclComm_t get() const { return comm_; }
  [[nodiscard]] explicit operator bool() const { return comm_ != nullptr; }
  /// Whether nothing is under way. @throws error if what was begun has failed, `call` names it
  [[nodiscard]] bool is_ready(const char* call) const {
    ncclResult_t state = ncclSuccess;
    check_nccl(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError", comm_);
    check_nccl(state, call, comm_);
    return state != ncclInProgress;
  }

  /// Ends what is under way, whatever the others do.
  void abort() noexcept {
    if (comm_) static_cast<void>(ncclCommAbort(std::exchange(comm_, nullptr)));
  }
  /// For a group whose work is done on this rank.
  void end() noexcept {
    if (comm_) static_cast<void>(ncclCommDestroy(std::exchange(comm_, nullptr)));
  }
  /// Stops what is under way without giving anything back, where NCCL can do that, so that no later
  /// abort waits for the kernels of another group.
  void revoke() const noexcept {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 0) && defined(NCCL_REVOKE_DEFAULT)
    if (comm_) static_cast<void>(ncclCommRevoke(comm_, NCCL_REVOKE_DEFAULT));
#endif
  }
  /// Makes `rest` the group without some of its ranks, which need not call it; all others do. What
  /// was under way is given up. NCCL writes to `rest` when this group is ready again, not before.
  /// @throws error, also for a NCCL before 2.27
  void shrink(std::span<const int> ranks, nccl_group& rest) const {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 0)
    std::vector<int> excluded(ranks.begin(), ranks.end());
    ncclConfig_t config = configuration(0);
    check_nccl(ncclCommShrink(comm_, excluded.data(), static_cast<int>(excluded.size()),
                              &rest.comm_, &config, NCCL_SHRINK_ABORT),
               "ncclCommShrink", comm_);
#else
    static_cast<void>(rest);
    throw error("expected a NCCL of 2.27 or later to go on without " +
                std::to_string(ranks.size()) + " ranks, found " +
                std::to_string(NCCL_VERSION_CODE) + "; build with a later one");
#endif
  }

 private:
  static ncclConfig_t configuration(int blocks) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    if (blocks > 0) config.minCTAs = 1;
    if (blocks > 0) config.maxCTAs = blocks;
    return config;
  }

  ncclComm_t comm_{};
};

/// Aborts all of them at once, each from a thread of its own: to give back the memory of one waits
/// for the kernels of the others, which run until they are aborted too.
inline void abort_all(std::span<nccl_group* const> groups, int device) noexcept {
  for (const nccl_group* group : groups) group->revoke();
  std::vector<std::thread> threads;
  for (nccl_group* group : groups) {
    const auto one = [group, device] {
      static_cast<void>(cudaSetDevice(device));
      group->abort();
    };
    try {
      threads.emplace_back(one);
    } catch (...) {
      one();
    }
  }
  for (std::thread& t : threads) t.join();
}

/// A queue of work that waits for no other queue, before those of networks where the device has a
/// choice.
class nccl_stream {
 public:
  nccl_stream() {
    int least = 0, greatest = 0;
    check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest),
               "cudaDeviceGetStreamPriorityRange");
    check_cuda(cudaStreamCreateWithPriority(&handle_, cudaStreamNonBlocking, greatest),
               "cudaStreamCreateWithPriority");
  }
  nccl_stream(nccl_stream&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  nccl_stream& operator=(nccl_stream&&) = delete;
  ~nccl_stream() {
    if (handle_) static_cast<void>(cudaStreamDestroy(handle_));
  }
  [[nodiscard]] cudaStream_t get() const { return handle_; }

 private:
  cudaStream_t handle_{};
};

/// A point in a stream.
class nccl_event {
 public:
  nccl_event() {
    check_cuda(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming),
               "cudaEventCreateWithFlags");
  }
  nccl_event(nccl_event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  nccl_event& operator=(nccl_event&&) = delete;
  ~nccl_event() {
    if (handle_) static_cast<void>(cudaEventDestroy(handle_));
  }
  void record(const nccl_stream& stream) { record(stream.get()); }
  void record(cudaStream_t stream) {
    check_cuda(cudaEventRecord(handle_, stream), "cudaEventRecord");
  }
  [[nodiscard]] bool is_done() const {
    const cudaError_t state = cudaEventQuery(handle_);
    if (state != cudaErrorNotReady) check_cuda(state, "cudaEventQuery");
    return state == cudaSuccess;
  }
  void wait() const { check_cuda(cudaEventSynchronize(handle_), "cudaEventSynchronize"); }
  /// What comes next in the stream waits for this point.
  void hold_back(const nccl_stream& stream) const { hold_back(stream.get()); }
  void hold_back(cudaStream_t stream) const {
    check_cuda(cudaStreamWaitEvent(stream, handle_, 0), "cudaStreamWaitEvent");
  }

 private:
  cudaEvent_t handle_{};
};

/// Room for one message: on the device, registered with its group, and in pinned memory. It grows
/// to the largest message and stays.
class nccl_slot {
 public:
  nccl_slot() = default;
  nccl_slot(const nccl_slot&) = delete;
  nccl_slot& operator=(const nccl_slot&) = delete;
  ~nccl_slot() { free(); }

  /// At least so many floats; what was in it is gone. @throws error, device_error
  void reserve(std::size_t count, const nccl_group& group) {
    if (count <= capacity_) return;
    free();
    void* memory = nullptr;
    check_nccl(ncclMemAlloc(&memory, count * sizeof(float)), "ncclMemAlloc");
    device_ = static_cast<float*>(memory);
    check_cuda(cudaMallocHost(reinterpret_cast<void**>(&pinned_), count * sizeof(float)),
               "cudaMallocHost");
    capacity_ = count;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 0)
    // Without it, the library copies through buffers of its own.
    registered_with_ = group.get();
    check_nccl(ncclCommRegister(registered_with_, device_, count * sizeof(float), &registration_),
               "ncclCommRegister", registered_with_);
#endif
  }
  /// Before its group ends, and never after: a registration belongs to the group.
  void forget_group(bool is_alive) noexcept {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 0)
    if (is_alive && registration_)
      static_cast<void>(ncclCommDeregister(registered_with_, registration_));
#endif
    registration_ = nullptr;
    registered_with_ = nullptr;
  }
  [[nodiscard]] float* device() const { return device_; }
  [[nodiscard]] float* pinned() const { return pinned_; }

  nccl_event ready, filled, done;
  bool waits_for_reader{false};  ///< what has come or will come has not been read

 private:
  void free() noexcept {
    forget_group(true);
    if (device_) static_cast<void>(ncclMemFree(std::exchange(device_, nullptr)));
    if (pinned_) static_cast<void>(cudaFreeHost(std::exchange(pinned_, nullptr)));
    capacity_ = 0;
  }

  float *device_{}, *pinned_{};
  std::size_t capacity_{};
  ncclComm_t registered_with_{};
  void* registration_{};
};

}  // namespace gantry::comm
