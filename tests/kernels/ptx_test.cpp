// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Every instruction of common/ptx.cuh on whole numbers whose sums are exact in fp32: the emulator's
// twins and a GPU must give the same bits, those of plain loops here. With GANTRY_BITS=<file> the
// results' hashes are written there, so that two builds of this file can be compared.
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/kernels/common/launch.cuh"
#include "gantry/kernels/common/ptx.cuh"
#include "gantry/kernels/conv2d/launch.cuh"
#include "gantry/kernels/gemm/launch.cuh"

#include "kernels/device.cuh"

using namespace gantry;
using namespace gantry::test;
using kernels::gemm_math;

namespace {

/// FNV-1a of the bits.
void note_bits(const std::string& name, std::span<const float> numbers) {
  const char* path = std::getenv("GANTRY_BITS");
  if (!path) return;
  std::uint64_t hash = 14695981039346656037u;
  for (const float f : numbers)
    for (int shift = 0; shift < 32; shift += 8)
      hash = (hash ^ (std::bit_cast<std::uint32_t>(f) >> shift & 0xffu)) * 1099511628211u;
  std::ofstream(path, std::ios::app) << name << ' ' << std::hex << hash << '\n';
}

/// The numbers of the products: whole, different at every place.
__host__ __device__ inline int left_at(int row, int k) { return (row * 3 + k * 5) % 17 - 8; }
__host__ __device__ inline int right_at(int k, int column) { return (k * 7 + column * 2) % 13 - 6; }

struct out_args {
  float* out;
};

__device__ inline std::uint32_t pair_of(int low, int high) {
  const auto bits = [](int v) {
    return static_cast<std::uint32_t>(
        __bfloat16_as_ushort(__float2bfloat16_rn(static_cast<float>(v))));
  };
  return bits(low) | bits(high) << 16;
}

template <class Args>
__global__ void __launch_bounds__(32) bf16_kernel(const __grid_constant__ Args args) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, m = lane % 4 * 2;
  const auto a = [](int r, int k) { return pair_of(left_at(r, k), left_at(r, k + 1)); };
  const auto b = [](int k, int c) { return pair_of(right_at(k, c), right_at(k + 1, c)); };
  const std::uint32_t left[4] = {a(g, m), a(g + 8, m), a(g, m + 8), a(g + 8, m + 8)};
  const std::uint32_t right[2] = {b(m, g), b(m + 8, g)};
  float d[4] = {1, 2, 3, 4};
  kernels::ptx::mma_bf16(d, left, right);
  for (int e = 0; e < 4; ++e) args.out[(g + e / 2 * 8) * 8 + m + e % 2] = d[e];
}

template <class Args>
__global__ void __launch_bounds__(32) tf32_kernel(const __grid_constant__ Args args) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  const auto bits = [](int v) { return kernels::ptx::to_tf32(static_cast<float>(v)); };
  const std::uint32_t left[4] = {bits(left_at(g, t)), bits(left_at(g + 8, t)),
                                 bits(left_at(g, t + 4)), bits(left_at(g + 8, t + 4))};
  const std::uint32_t right[2] = {bits(right_at(t, g)), bits(right_at(t + 4, g))};
  float d[4] = {1, 2, 3, 4};
  kernels::ptx::mma_tf32(d, left, right);
  for (int e = 0; e < 4; ++e) args.out[(g + e / 2 * 8) * 8 + t * 2 + e % 2] = d[e];
}

template <class Args>
__global__ void __launch_bounds__(32) ldmatrix_kernel(const __grid_constant__ Args args) {
  auto& words = kernels::dynamic_shared<std::uint16_t[256]>();
  for (int e = static_cast<int>(threadIdx.x); e < 256; e += 32)
    words[e] = static_cast<std::uint16_t>(e);
  __syncwarp();
  std::uint32_t r[4];
  kernels::ptx::ldmatrix_x4(r, &words[threadIdx.x * 8]);
  for (unsigned m = 0; m < 4; ++m) {
    args.out[(m * 32 + threadIdx.x) * 2] = static_cast<float>(r[m] & 0xffffu);
    args.out[(m * 32 + threadIdx.x) * 2 + 1] = static_cast<float>(r[m] >> 16);
  }
}

struct rounding_args {
  const float* in;
  float* out;
};

template <class Args>
__global__ void __launch_bounds__(32) rounding_kernel(const __grid_constant__ Args args) {
  const std::uint32_t bits = kernels::ptx::to_tf32(args.in[threadIdx.x]);
  args.out[threadIdx.x] = __uint_as_float(bits);
}

std::vector<float> numbers_of(const device_buffer& memory, std::size_t count) {
  std::vector<float> found(count);
  aligned_device().download(memory.data(), found);
  return found;
}

void check_products(const std::vector<float>& found, int depth) {
  for (int r = 0; r < 16; ++r)
    for (int c = 0; c < 8; ++c) {
      int sum = r / 8 * 2 + c % 2 + 1;  // what the lane's four sums began with
      for (int k = 0; k < depth; ++k) sum += left_at(r, k) * right_at(k, c);
      CHECK(found[static_cast<std::size_t>(r * 8 + c)] == static_cast<float>(sum));
    }
}

/// A product and a convolution of whole numbers through the kernels, in one arithmetic.
template <gemm_math Math>
void check_kernels(const char* name) {
  static constexpr linear_geometry g{{1, 1, 40}, 24};
  static constexpr conv_geometry conv{{6, 6, 4}, 8, 3, 1, 1};
  constexpr int n = 5;
  const auto whole = [](std::size_t count, int step) {
    std::vector<float> v(count);
    for (std::size_t i = 0; i < count; ++i)
      v[i] = static_cast<float>(static_cast<int>(i * static_cast<std::size_t>(step)) % 15 - 7);
    return v;
  };
  auto& b = aligned_device<Math>();
  backend::reference<double> oracle;
  const auto run = [&]<class Op, class Run>(Op, std::size_t inputs, std::size_t weights,
                                            std::size_t results, const Run& start) {
    const auto x = whole(inputs, 7), w = whole(weights, 11);
    auto dx = b.allocate(inputs), dw = b.allocate(weights), dy = b.allocate(results);
    b.upload(x, dx.data());
    b.upload(w, dw.data());
    start(b, dx.data(), dw.data(), dy.data());
    std::vector<float> found(results);
    b.download(dy.data(), found);
    const std::vector<double> xd(x.begin(), x.end()), wd(w.begin(), w.end());
    std::vector<double> expected(results);
    start(oracle, xd.data(), wd.data(), expected.data());
    for (std::size_t i = 0; i < results; ++i) REQUIRE(found[i] == static_cast<float>(expected[i]));
    note_bits(std::string(Op::name) + "_" + name, found);
  };
  run(ops::linear_forward<g>{}, n * 40, 40 * 24, n * 24, [](auto& on, auto* x, auto* w, auto* y) {
    launch(on, ops::linear_forward<g>{}, {{x, n}, w, nullptr, {y, n}});
  });
  run(ops::conv2d_forward<conv>{}, n * 144, static_cast<std::size_t>(conv.weights()), n * 288,
      [](auto& on, auto* x, auto* w, auto* y) {
        launch(on, ops::conv2d_forward<conv>{}, {{x, n}, w, nullptr, {y, n}});
      });
}

}  // namespace

TEST_CASE("ptx: products of whole numbers are exact") {
  auto& b = aligned_device();
  const auto out = b.allocate(128);
  kernels::start_now<out_args>(bf16_kernel<out_args>, {dim3(1), 32}, {out.data()}, nullptr);
  const auto bf16 = numbers_of(out, 128);
  check_products(bf16, 16);
  note_bits("mma_bf16", bf16);
  kernels::start_now<out_args>(tf32_kernel<out_args>, {dim3(1), 32}, {out.data()}, nullptr);
  const auto tf32 = numbers_of(out, 128);
  check_products(tf32, 8);
  note_bits("mma_tf32", tf32);
}

TEST_CASE("ptx: matrices come from shared memory by lanes") {
  auto& b = aligned_device();
  const auto out = b.allocate(256);
  kernels::start_now<out_args>(ldmatrix_kernel<out_args>, {dim3(1), 32, 512}, {out.data()},
                               nullptr);
  const auto found = numbers_of(out, 256);
  for (unsigned m = 0; m < 4; ++m)
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned j = 0; j < 2; ++j)
        CHECK(found[(m * 32 + lane) * 2 + j] ==
              static_cast<float>(m * 64 + lane / 4 * 8 + lane % 4 * 2 + j));
  note_bits("ldmatrix_x4", found);
}

TEST_CASE("ptx: tf32 is rounded to nearest, ties away from zero") {
  const auto bits = [](std::uint32_t u) { return std::bit_cast<float>(u); };
  std::vector<float> in;
  for (const std::uint32_t low : {0u, 1u, 0x0fffu, 0x1000u, 0x1001u, 0x1fffu, 0x3000u, 0x7f7fffu})
    for (const std::uint32_t high : {0x3f800000u, 0xbf800000u, 0x00000000u, 0x7f000000u})
      in.push_back(bits(high | low));
  REQUIRE(in.size() == 32);
  auto& b = aligned_device();
  auto from = b.allocate(32), to = b.allocate(32);
  b.upload(in, from.data());
  kernels::start_now<rounding_args>(rounding_kernel<rounding_args>, {dim3(1), 32},
                                    {from.data(), to.data()}, nullptr);
  const auto found = numbers_of(to, 32);
  for (std::size_t i = 0; i < 32; ++i) {
    const auto u = std::bit_cast<std::uint32_t>(in[i]);
    CHECK(std::bit_cast<std::uint32_t>(found[i]) == ((u + 0x1000u) & 0xffffe000u));
  }
  note_bits("to_tf32", found);
}

TEST_CASE("ptx: kernels on whole numbers have the bits of exact sums") {
  check_kernels<gemm_math::fp32>("fp32");
  check_kernels<gemm_math::tf32>("tf32");
  check_kernels<gemm_math::bf16>("bf16");
  check_kernels<gemm_math::bf16x3>("bf16x3");
  check_kernels<gemm_math::bf16x6>("bf16x6");
}
