// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Barriers of a block and operations of a warp.
#pragma once

#include <bit>

#include "simt/schedule.hpp"

namespace simt {

inline void worker::release_barrier() {
  std::uint16_t woken[1024];
  unsigned n = 0;
  for (cuda_thread& t : threads_) {
    if (t.state != status::at_barrier) continue;
    t.state = status::ready;
    woken[n++] = t.id;
  }
  make_ready(woken, woken + n);
  barrier_.arrived = 0;
  ++barrier_.generation;
  barrier_.result = std::exchange(barrier_.count, 0);
  ++statistics_.barriers;
}

inline int worker::block_sync(bool predicate, const location& at, const char* what) {
  void* key;
  {
    quiet q;
    key = &barrier_.edge[barrier_.generation & 1];
  }
  tsan_release(key);
  {
    quiet q;
    if (barrier_.arrived == 0)
      barrier_.where = at;
    else if (!(barrier_.where == at))
      fail("threads of one block wait at different barriers: %s:%u and %s:%u",
           barrier_.where.file_name(), barrier_.where.line, at.file_name(), at.line);
    barrier_.count += predicate;
    current_->state = status::at_barrier;
    current_->what = what;
    current_->where = at;
    spins_ = 0;
    if (++barrier_.arrived == threads_.size()) release_barrier();
    wait();
  }
  tsan_acquire(key);
  quiet q;
  return barrier_.result;
}

inline void worker::complete(lane_group& g, unsigned warp_index) {
  if (g.operation) g.operation(g.arguments, g.arrived);
  std::uint16_t woken[32];
  unsigned n = 0;
  for (unsigned lanes = g.arrived; lanes; lanes &= lanes - 1) {
    cuda_thread& t = threads_[warp_index * 32 + static_cast<unsigned>(std::countr_zero(lanes))];
    t.state = status::ready;
    woken[n++] = t.id;
  }
  g.arrived = 0;
  ++g.generation;
  make_ready(woken, woken + n);
  ++statistics_.collectives;
}

/// The group of these lanes, or one that nobody waits in. Their addresses stay.
inline lane_group& worker::find_group(warp& w, unsigned mask) {
  if (w.groups.empty()) w.groups.reserve(32);
  for (lane_group& g : w.groups)
    if (g.mask == mask) return g;
  for (lane_group& g : w.groups)
    if (!g.arrived) return g;
  return w.groups.emplace_back();
}

inline void worker::gather(const gathering& request, const location& at) {
  lane_group* g;
  void* key;
  const unsigned index = current_->id / 32u, lane = current_->id % 32u;
  {
    quiet q;
    if (!(request.mask >> lane & 1))
      fail("%s %s:%u: lane %u is not in its own mask %08x", request.what, at.file_name(), at.line,
           lane, request.mask);
    g = &find_group(warps_[index], request.mask);
    key = &g->edge[g->generation & 1];
  }
  if (request.fence) tsan_release(key);
  {
    quiet q;
    if (!g->arrived) {
      g->mask = request.mask;
      g->what = request.what;
      g->where = at;
      g->operation = request.operation;
    } else if (g->operation != request.operation || !(g->where == at)) {
      fail("lanes of one warp meet in different operations: %s %s:%u and %s %s:%u", g->what,
           g->where.file_name(), g->where.line, request.what, at.file_name(), at.line);
    }
    g->arrived |= 1u << lane;
    g->arguments[lane] = request.argument;
    current_->state = status::at_warp;
    current_->what = request.what;
    current_->where = at;
    current_->mask = request.mask;
    spins_ = 0;
    if (g->arrived == (request.mask & warps_[index].alive)) complete(*g, index);
    wait();
  }
  if (request.fence) tsan_acquire(key);
}

/// An operation of a warp over structs of the lanes' own: the last lane to arrive calls F over all.
template <class Argument, class F>
void collective(Argument& a, F, const char* what, const location& at, unsigned mask = all_lanes) {
  self->gather(
      {mask, &a,
       [](void** lanes, unsigned present) { F{}(reinterpret_cast<Argument**>(lanes), present); },
       what, false},
      at);
}

}  // namespace simt
