// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The calls of NCCL that Gantry uses, over threads of one process, for tests: groups begin in the
// background, a send ends when its receiver has taken it, and an abort ends what is under way. What
// can go wrong is chosen in emulated::faults().
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cuda_runtime.h"

#define NCCL_VERSION(X, Y, Z) ((X)*10000 + (Y)*100 + (Z))
#define NCCL_VERSION_CODE NCCL_VERSION(2, 28, 9)
#define NCCL_SHRINK_ABORT 0x01
#define NCCL_REVOKE_DEFAULT 0x00

enum ncclResult_t {
  ncclSuccess,
  ncclUnhandledCudaError,
  ncclSystemError,
  ncclInternalError,
  ncclInvalidArgument,
  ncclInvalidUsage,
  ncclRemoteError,
  ncclInProgress
};
enum ncclDataType_t { ncclFloat };
enum ncclRedOp_t { ncclSum };
struct ncclUniqueId {
  char internal[128];
};
struct ncclConfig_t {
  int blocking, minCTAs, maxCTAs;
};
#define NCCL_CONFIG_INITIALIZER \
  { 1, 0, 0 }

namespace emulated {

struct fault_switches {
  std::atomic<bool> init_hangs{false};        ///< groups never stand
  std::atomic<bool> values_are_lost{false};   ///< what is sent from now on never arrives
  std::atomic<int> async_error{ncclSuccess};  ///< what every group reports
  std::atomic<int> groups{0};                 ///< that have not been ended or aborted
  std::atomic<int> registrations{0}, aborts{0}, revokes{0}, shrinks{0}, moved{0};
};
inline fault_switches& faults() {
  static fault_switches all;
  return all;
}

struct parcel {
  const float* from;
  std::size_t count;
  bool is_taken = false;
};
/// What the ranks of a group share.
struct meeting {
  std::mutex mutex;
  std::condition_variable changed;
  int size = 0, joined = 0;
  std::map<std::pair<int, int>, std::deque<parcel*>> under_way;  ///< by sender and receiver
  int arrived = 0;                                               ///< at a sum
  std::uint64_t sums = 0;
  std::vector<std::vector<float>> parts;
};
inline std::shared_ptr<meeting> meeting_of(const std::vector<char>& id, int size) {
  static std::mutex mutex;
  static std::map<std::vector<char>, std::shared_ptr<meeting>> all;
  const std::lock_guard lock(mutex);
  std::shared_ptr<meeting>& one = all[id];
  if (!one) one = std::make_shared<meeting>();
  one->size = size;
  return one;
}

}  // namespace emulated

struct ncclComm {
  std::shared_ptr<emulated::meeting> place;
  std::vector<char> id;
  int rank = 0, size = 0;
  std::atomic<bool> is_aborted{false};
  std::function<void()> pending;  ///< ends when somebody asks whether it has

  void wake() {
    const std::lock_guard lock(place->mutex);
    is_aborted = true;
    place->changed.notify_all();
  }
};
using ncclComm_t = ncclComm*;

namespace emulated {

inline void run_send(ncclComm& c, const float* from, std::size_t count, int peer) {
  parcel p{from, count};
  std::unique_lock lock(c.place->mutex);
  if (faults().values_are_lost) {
    c.place->changed.wait(lock, [&] { return c.is_aborted.load(); });
    return;
  }
  auto& queue = c.place->under_way[{c.rank, peer}];
  queue.push_back(&p);
  c.place->changed.notify_all();
  c.place->changed.wait(lock, [&] { return p.is_taken || c.is_aborted; });
  if (!p.is_taken) std::erase(queue, &p);
}
inline void run_receive(ncclComm& c, float* to, std::size_t count, int peer) {
  std::unique_lock lock(c.place->mutex);
  auto& queue = c.place->under_way[{peer, c.rank}];
  c.place->changed.wait(lock, [&] { return !queue.empty() || c.is_aborted; });
  if (queue.empty()) return;
  parcel& p = *queue.front();
  if (p.count != count) return;  // as there, who waits then waits for ever, until it is aborted
  queue.pop_front();
  std::memcpy(to, p.from, count * sizeof(float));
  p.is_taken = true;
  ++faults().moved;
  c.place->changed.notify_all();
}
/// In the order of ranks from the last to the first, so that nobody takes it for another order.
inline void run_sum(ncclComm& c, float* values, std::size_t count) {
  meeting& m = *c.place;
  std::unique_lock lock(m.mutex);
  const std::uint64_t number = m.sums;
  m.parts.resize(static_cast<std::size_t>(c.size));
  m.parts[static_cast<std::size_t>(c.rank)].assign(values, values + count);
  if (++m.arrived == c.size) {
    m.arrived = 0;
    ++m.sums;
    for (std::size_t r = m.parts.size() - 1; r-- > 0;)
      for (std::size_t i = 0; i < count; ++i) m.parts.back()[i] += m.parts[r][i];
    m.changed.notify_all();
  }
  m.changed.wait(lock, [&] { return m.sums != number || c.is_aborted; });
  if (m.sums != number) std::memcpy(values, m.parts.back().data(), count * sizeof(float));
}

inline ncclResult_t join(ncclComm_t* comm, int size, std::vector<char> id, int rank) {
  auto* c = new ncclComm;
  c->place = meeting_of(id, size);
  c->id = std::move(id);
  c->rank = rank;
  c->size = size;
  const std::lock_guard lock(c->place->mutex);
  ++c->place->joined;
  ++faults().groups;
  *comm = c;
  return ncclInProgress;
}

}  // namespace emulated

inline const char* ncclGetErrorString(ncclResult_t r) {
  return r == ncclRemoteError ? "remote process exited or there was a network error"
                              : "an emulated error";
}
inline const char* ncclGetLastError(ncclComm_t) { return ""; }
inline ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<std::uint32_t> next{1};
  *id = {};
  const std::uint32_t number = next++;
  std::memcpy(id->internal, &number, sizeof number);
  id->internal[127] = -1;
  return ncclSuccess;
}
inline ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                           ncclConfig_t* config) {
  if (config->blocking != 0) return ncclInvalidUsage;
  return emulated::join(comm, size, std::vector<char>(id.internal, id.internal + 128), rank);
}
inline ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  if (comm->pending) {
    std::exchange(comm->pending, nullptr)();
    *state = ncclInProgress;
    return ncclSuccess;
  }
  const auto error = static_cast<ncclResult_t>(emulated::faults().async_error.load());
  const std::lock_guard lock(comm->place->mutex);
  const bool stands = comm->place->joined >= comm->size && !emulated::faults().init_hangs;
  *state = error != ncclSuccess ? error : stands ? ncclSuccess : ncclInProgress;
  return ncclSuccess;
}
inline ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  --emulated::faults().groups;
  delete comm;
  return ncclSuccess;
}
/// The memory stays: a stream may be about to look whether it was aborted.
inline ncclResult_t ncclCommAbort(ncclComm_t comm) {
  ++emulated::faults().aborts;
  --emulated::faults().groups;
  comm->wake();
  static std::mutex mutex;
  static std::vector<std::unique_ptr<ncclComm>> aborted;
  const std::lock_guard lock(mutex);
  aborted.emplace_back(comm);
  return ncclSuccess;
}
inline ncclResult_t ncclCommRevoke(ncclComm_t comm, int) {
  ++emulated::faults().revokes;
  comm->wake();
  return ncclSuccess;
}
inline ncclResult_t ncclCommShrink(ncclComm_t comm, int* excluded, int count, ncclComm_t* rest,
                                   ncclConfig_t*, int) {
  ++emulated::faults().shrinks;
  std::vector<char> id = comm->id;
  int rank = 0;
  for (int r = 0; r < comm->size; ++r) {
    const bool stays = std::find(excluded, excluded + count, r) == excluded + count;
    id.push_back(stays ? 'y' : 'n');
    rank += stays && r < comm->rank;
  }
  // As there, the new group is written when the old one has ended its part.
  comm->pending = [=, size = comm->size - count] {
    static_cast<void>(emulated::join(rest, size, id, rank));
  };
  return ncclInProgress;
}
inline ncclResult_t ncclMemAlloc(void** p, std::size_t bytes) {
  *p = std::malloc(bytes);
  return ncclSuccess;
}
inline ncclResult_t ncclMemFree(void* p) {
  std::free(p);
  return ncclSuccess;
}
inline ncclResult_t ncclCommRegister(ncclComm_t comm, void*, std::size_t, void** handle) {
  ++emulated::faults().registrations;
  *handle = comm;
  return ncclSuccess;
}
inline ncclResult_t ncclCommDeregister(ncclComm_t, void*) {
  --emulated::faults().registrations;
  return ncclSuccess;
}
/// Streams of a group's calls are different ones here, so that nothing needs to be held back.
inline ncclResult_t ncclGroupStart() { return ncclSuccess; }
inline ncclResult_t ncclGroupEnd() { return ncclSuccess; }
inline ncclResult_t ncclSend(const void* from, std::size_t count, ncclDataType_t, int peer,
                             ncclComm_t comm, cudaStream_t stream) {
  stream->enqueue([=] { emulated::run_send(*comm, static_cast<const float*>(from), count, peer); });
  return ncclSuccess;
}
inline ncclResult_t ncclRecv(void* to, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                             cudaStream_t stream) {
  stream->enqueue([=] { emulated::run_receive(*comm, static_cast<float*>(to), count, peer); });
  return ncclSuccess;
}
inline ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count, ncclDataType_t,
                                  ncclRedOp_t, ncclComm_t comm, cudaStream_t stream) {
  if (from != to) return ncclInvalidArgument;
  stream->enqueue([=] { emulated::run_sum(*comm, static_cast<float*>(to), count); });
  return ncclSuccess;
}
