// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include <cstdint>

namespace gantry::inline v0 {

/// From now on the calling thread takes subnormal numbers for zero, read and written: they carry
/// nothing a training step needs, and arithmetic on them is up to a hundred times slower. Costs
/// nothing after the first call of a thread; does nothing on processors without such a mode.
inline void flush_denormals() {
  thread_local bool done = false;
  if (done) return;
  done = true;
#if defined(__SSE2__)
  constexpr unsigned flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
  _mm_setcsr(_mm_getcsr() | flush_to_zero | denormals_are_zero);
#elif defined(__aarch64__)
  std::uint64_t control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(control | (std::uint64_t{1} << 24)));
#endif
}

}  // namespace gantry
