// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// CUDA's device language for a host compiler: qualifiers, barriers, fences, loads, bits,
// arithmetic. Left out on purpose: __activemask (which lanes are together is not defined),
// clusters, grid-wide barriers.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "simt/grid.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#if defined(SIMT_ASAN)
#define __shared__ static  // AddressSanitizer has red zones for globals, not for thread_locals
#else
#define __shared__ thread_local  // each block in flight has its own; implies static in a function
#endif

inline void __syncthreads(simt::location at = simt::location::current()) {
  simt::self->block_sync(false, at, "__syncthreads");
}
inline int __syncthreads_count(int p, simt::location at = simt::location::current()) {
  return simt::self->block_sync(p != 0, at, "__syncthreads_count");
}
inline int __syncthreads_or(int p, simt::location at = simt::location::current()) {
  return simt::self->block_sync(p != 0, at, "__syncthreads_or") != 0;
}
inline int __syncthreads_and(int p, simt::location at = simt::location::current()) {
  return simt::self->block_sync(p == 0, at, "__syncthreads_and") == 0;
}
inline void __syncwarp(unsigned mask = simt::all_lanes,
                       simt::location at = simt::location::current()) {
  simt::self->gather({mask, nullptr, nullptr, "__syncwarp", true}, at);
}

namespace simt {
inline char fence_key;  ///< atomics are relaxed, as on a GPU: only fences order other memory
}
inline void __threadfence() {
  simt::tsan_acquire(&simt::fence_key);
  simt::tsan_release(&simt::fence_key);
#if !defined(SIMT_TSAN)
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}
inline void __nanosleep(unsigned, simt::location at = simt::location::current()) {
  simt::self->yield(at);
}
[[noreturn]] inline void __trap(simt::location at = simt::location::current()) {
  simt::self->fail("__trap %s:%u", at.file_name(), at.line);
}

template <class T>
T __ldg(const T* p) {
  return *p;
}
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline double sinpi(double x) { return std::sin(std::numbers::pi * x); }
inline double cospi(double x) { return std::cos(std::numbers::pi * x); }
