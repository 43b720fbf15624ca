// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Numbers that one instruction loads or stores.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

namespace gantry::inline v0::kernels {

template <int Width, class T = float>
struct __align__(Width * sizeof(T)) pack {
  T v[Width];
};

template <int Width>
__device__ pack<Width> load(const float* p) {
  return *reinterpret_cast<const pack<Width>*>(p);
}
template <int Width, class T>
__device__ void store(T* p, const pack<Width, T>& numbers) {
  *reinterpret_cast<pack<Width, T>*>(p) = numbers;
}
template <int Width, class F>
__device__ pack<Width> generate(F f) {
  pack<Width> result;
#pragma unroll
  for (int j = 0; j < Width; ++j) result.v[j] = f(j);
  return result;
}

/// True if packs of four can be loaded from every array; null is no array.
template <class... T>
bool allow_packs(const T*... arrays) {
  return ((reinterpret_cast<std::uintptr_t>(arrays) % (4 * sizeof(T)) == 0) && ...);
}

}  // namespace gantry::kernels
