// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Shuffles, votes and atomics.
#pragma once

#include <cstring>
#include <type_traits>

#include "simt/device.hpp"

namespace simt {

template <class T>
struct shuffle_lane {
  T value, result;
  int operand, width;
};

/// Source(lane, operand, width) is the lane to take from, or -1: keep the own value. A lane that
/// does not take part gives NaN.
template <class T, class Source>
T shuffle(shuffle_lane<T> mine, Source, const char* what, const location& at, unsigned mask) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8,
                "a shuffle moves 4 or 8 bytes of plain data");
  collective(
      mine,
      [](shuffle_lane<T>** lanes, unsigned present) {
        for (unsigned m = present; m; m &= m - 1) {
          const int lane = std::countr_zero(m);
          shuffle_lane<T>& to = *lanes[lane];
          const int from = Source{}(lane, to.operand, to.width);
          if (from < 0)
            to.result = to.value;
          else if (present >> from & 1)
            to.result = lanes[from]->value;
          else
            std::memset(&to.result, 0xFF, sizeof(T));
        }
      },
      what, at, mask);
  return mine.result;
}

struct vote_lane {
  bool value;
  unsigned result;
};

/// One bit per lane that votes yes.
inline unsigned ballot(bool value, const char* what, const location& at, unsigned mask) {
  vote_lane mine{value, 0};
  collective(
      mine,
      [](vote_lane** lanes, unsigned present) {
        unsigned yes = 0;
        for (unsigned m = present; m; m &= m - 1)
          if (lanes[std::countr_zero(m)]->value) yes |= 1u << std::countr_zero(m);
        for (unsigned m = present; m; m &= m - 1) lanes[std::countr_zero(m)]->result = yes;
      },
      what, at, mask);
  return mine.result;
}

}  // namespace simt

template <class T>
T __shfl_sync(unsigned mask, T v, int source, int width = 32,
              simt::location at = simt::location::current()) {
  return simt::shuffle<T>(
      {v, v, source, width},
      [](int lane, int s, int w) { return (lane & ~(w - 1)) | (s & (w - 1)); }, "__shfl_sync", at,
      mask);
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32,
                 simt::location at = simt::location::current()) {
  return simt::shuffle<T>(
      {v, v, static_cast<int>(delta), width},
      [](int lane, int d, int w) { return (lane & (w - 1)) >= d ? lane - d : -1; },
      "__shfl_up_sync", at, mask);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32,
                   simt::location at = simt::location::current()) {
  return simt::shuffle<T>(
      {v, v, static_cast<int>(delta), width},
      [](int lane, int d, int w) { return (lane & (w - 1)) + d < w ? lane + d : -1; },
      "__shfl_down_sync", at, mask);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32,
                  simt::location at = simt::location::current()) {
  return simt::shuffle<T>(
      {v, v, bits, width},
      [](int lane, int b, int w) { return (lane ^ b) < ((lane & ~(w - 1)) + w) ? lane ^ b : -1; },
      "__shfl_xor_sync", at, mask);
}
inline unsigned __ballot_sync(unsigned mask, int p, simt::location at = simt::location::current()) {
  return simt::ballot(p != 0, "__ballot_sync", at, mask);
}
inline int __any_sync(unsigned mask, int p, simt::location at = simt::location::current()) {
  return simt::ballot(p != 0, "__any_sync", at, mask) != 0;
}
inline int __all_sync(unsigned mask, int p, simt::location at = simt::location::current()) {
  return simt::ballot(p == 0, "__all_sync", at, mask) == 0;
}

template <class T>
T atomicAdd(T* p, std::type_identity_t<T> v) {
  return std::atomic_ref<T>(*p).fetch_add(v, std::memory_order_relaxed);
}
template <class T>
T atomicExch(T* p, std::type_identity_t<T> v) {
  return std::atomic_ref<T>(*p).exchange(v, std::memory_order_relaxed);
}
template <class T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  std::atomic_ref<T>(*p).compare_exchange_strong(expected, v, std::memory_order_relaxed);
  return expected;
}
