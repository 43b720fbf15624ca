// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The emulator's own tests: every misuse is reported, no legal use is.
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include <cuda_runtime.h>
#include <doctest/doctest.h>

namespace ptx = gantry::kernels::ptx;

namespace {

template <class T>
struct device_memory {
  explicit device_memory(std::size_t n) : size(n) {
    REQUIRE(cudaMalloc(&data, n * sizeof(T)) == cudaSuccess);
  }
  ~device_memory() { cudaFree(data); }
  device_memory(const device_memory&) = delete;
  device_memory& operator=(const device_memory&) = delete;
  [[nodiscard]] std::vector<T> read() const {
    std::vector<T> host(size);
    REQUIRE(cudaMemcpy(host.data(), data, size * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return host;
  }
  T* data = nullptr;
  std::size_t size;
};

/// What the emulator says about a launch; "" if nothing.
template <class T>
std::string report(void (*kernel)(T*), const simt::launch_shape& shape, T* p) {
  auto e = simt::launch(kernel, shape, nullptr, p);
  if (e == cudaSuccess) e = cudaDeviceSynchronize();
  std::string sentence = e == cudaSuccess ? "" : cudaGetErrorString(e);
  cudaDeviceReset();
  return sentence;
}

bool contains(const std::string& text, const char* part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) MESSAGE("the report is: ", text);
  return found;
}

void leaves_early(float*) {
  if (threadIdx.x >= 100) return;
  __syncthreads();
}
void two_barriers(float*) {
  if (threadIdx.x < 64)
    __syncthreads();
  else
    __syncthreads();
}
void two_operations(float* d) {
  if (threadIdx.x % 32 < 16)
    d[threadIdx.x] = __shfl_xor_sync(~0u, 1.f, 1);
  else
    __syncwarp();
}
void not_in_mask(float* d) { d[threadIdx.x] = __shfl_sync(0xffffu, 1.f, 0); }
void missing_lane(float* d) {
  if (threadIdx.x != 5)
    d[threadIdx.x] = __shfl_sync(~0u, 1.f, 0);
  else
    __syncthreads();
}
void traps(float*) {
  if (threadIdx.x == 3) __trap();
}
void throws(float*) { throw std::runtime_error("from a kernel"); }
void waits_for_nobody(float* d) {
  while (atomicAdd(d, 0.f) != 7.f) __nanosleep(100);
}
void odd_row(float*) {
  std::uint32_t r[4];
  ptx::ldmatrix_x4(r, simt::dynamic_shared<char>() + 2);
}

}  // namespace

TEST_CASE("emulator: misuse is reported with its place") {
  const device_memory<float> d(1024);
  const bool forward = simt::settings().schedule == simt::order::forward;
  CHECK(contains(report(leaves_early, {1, 256}, d.data),
                 forward ? "exited while 100 threads of its block wait at emulator_test.cpp:"
                         : "100 threads"));
  CHECK(contains(report(two_barriers, {1, 256}, d.data), "different barriers: emulator_test.cpp:"));
  CHECK(contains(report(two_operations, {1, 32}, d.data), "different operations"));
  CHECK(contains(report(not_in_mask, {1, 32}, d.data), "not in its own mask"));
  CHECK(contains(report(missing_lane, {1, 32}, d.data),
                 "1 threads wait at __syncthreads emulator_test.cpp:"));
  CHECK(contains(report(traps, {2, 32}, d.data), "thread (3,0,0): __trap"));
  CHECK(contains(report(throws, {1, 1}, d.data), "exception: from a kernel"));
  CHECK(contains(report(odd_row, {1, 32, 1024}, d.data), "multiple of 16"));
  if (forward)  // it takes two seconds
    CHECK(contains(report(waits_for_nobody, {1, 64}, d.data), "livelock"));
}

TEST_CASE("emulator: a failed launch spoils what follows until the reset") {
  const device_memory<float> d(32);
  REQUIRE(simt::launch(traps, {1, 32}, nullptr, d.data) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  CHECK(simt::launch(traps, {1, 32}, nullptr, d.data) == cudaErrorLaunchFailure);
  cudaDeviceReset();
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

namespace {

/// Lanes that have ended are not waited for; what they would have given is NaN.
void ended_lanes(float* d) {
  if (threadIdx.x >= 16) return;
  d[threadIdx.x] = __shfl_down_sync(~0u, 1.f, 8);
}
void two_halves(float* d) {
  const unsigned mask = threadIdx.x % 32 < 16 ? 0xffffu : 0xffff0000u;
  float v = static_cast<float>(threadIdx.x);
  for (int offset = 8; offset; offset /= 2) v += __shfl_xor_sync(mask, v, offset, 16);
  d[threadIdx.x] = v;
}
void static_shared(float* d) {
  __shared__ float s[64];
  if (threadIdx.x == 0) s[0] = 1;
  __syncthreads();
  d[threadIdx.x] = s[threadIdx.x];
}
void dynamic_shared(float* d) {
  auto* s = simt::dynamic_shared<float>();
  if (threadIdx.x == 0) s[0] = 1;
  __syncthreads();
  d[threadIdx.x] = s[threadIdx.x];
}
void counts(float* d) {
  const int thirds = __syncthreads_count(threadIdx.x % 3 == 0);
  const int all = __syncthreads_and(blockDim.x > 5), none = __syncthreads_or(threadIdx.x > 500);
  if (threadIdx.x == 0) d[0] = static_cast<float>(thirds * 100 + all * 10 + none);
}
void votes(float* d) {
  const unsigned odd = __ballot_sync(~0u, threadIdx.x % 2);
  const int all = __all_sync(~0u, 1), any = __any_sync(~0u, threadIdx.x == 9);
  const unsigned up = __shfl_up_sync(~0u, threadIdx.x, 3);
  const unsigned expected = threadIdx.x < 3 ? threadIdx.x : threadIdx.x - 3;
  const bool good = odd == 0xaaaaaaaau && all && any && up == expected;
  const int as_expected = __all_sync(~0u, good);
  if (threadIdx.x == 31) d[31] = static_cast<float>(as_expected);
}
void spins_for_others(float* d) {
  if (threadIdx.x)
    atomicAdd(d, 1.f);
  else
    while (atomicAdd(d, 0.f) != 31.f) __nanosleep(100);
}
void coordinates(float* d) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  d[block * 24 + thread] = static_cast<float>(block * 100 + thread);
}

}  // namespace

TEST_CASE("emulator: legal use of warps and barriers") {
  const device_memory<float> d(1024);
  CHECK(report(ended_lanes, {1, 32}, d.data).empty());
  CHECK(d.read()[0] == 1);
  CHECK(std::isnan(d.read()[8]));
  CHECK(report(two_halves, {1, 64}, d.data).empty());
  CHECK(d.read()[3] == 120);
  CHECK(d.read()[20] == 120 + 256);
  CHECK(report(counts, {1, 128}, d.data).empty());
  CHECK(d.read()[0] == 4310);
  CHECK(report(votes, {1, 32}, d.data).empty());
  CHECK(d.read()[31] == 1);
  REQUIRE(cudaMemsetAsync(d.data, 0, 4) == cudaSuccess);
  CHECK(report(spins_for_others, {1, 32}, d.data).empty());
  CHECK(report(coordinates, {dim3(2, 3, 4), dim3(4, 3, 2)}, d.data).empty());
  std::size_t wrong = 0;
  const auto found = d.read();
  for (std::size_t i = 0; i < 576; ++i)
    wrong += found[i] != static_cast<float>(i / 24 * 100 + i % 24);
  CHECK(wrong == 0);
}

TEST_CASE("emulator: shared memory that nobody wrote is NaN") {
  const device_memory<float> d(64);
  CHECK(report(dynamic_shared, {1, 64, 256}, d.data).empty());
  CHECK(d.read()[0] == 1);
  CHECK(std::isnan(d.read()[5]));
  CHECK(report(static_shared, {1, 64}, d.data).empty());
  CHECK(d.read()[0] == 1);
  if (!simt::under_asan) CHECK(std::isnan(d.read()[5]));
}

namespace {

/// Whole numbers so small that every sum is exact: a GPU must agree bit for bit.
void exact_products(float* d) {
  const unsigned lane = threadIdx.x, group = lane / 4, member = lane % 4;
  // A[i][k] = i - k, B[k][j] = k + 2 j
  const auto bf16 = [](int v) { return __float_as_uint(static_cast<float>(v)) >> 16; };
  const auto pair = [&](int low, int high) { return bf16(low) | bf16(high) << 16; };
  const int i = static_cast<int>(group), j = i, t = static_cast<int>(member), k = 2 * t;
  const std::uint32_t a[4] = {pair(i - k, i - k - 1), pair(i + 8 - k, i + 7 - k),
                              pair(i - k - 8, i - k - 9), pair(i - k, i - k - 1)};
  const std::uint32_t b[2] = {pair(k + 2 * j, k + 1 + 2 * j), pair(k + 8 + 2 * j, k + 9 + 2 * j)};
  float sum[4] = {1, 1, 1, 1};
  ptx::mma_bf16(sum, a, b);
  const auto tf32 = [](int v) { return ptx::to_tf32(static_cast<float>(v)); };
  const std::uint32_t a8[4] = {tf32(i - t), tf32(i + 8 - t), tf32(i - t - 4), tf32(i + 4 - t)};
  const std::uint32_t b8[2] = {tf32(t + 2 * j), tf32(t + 4 + 2 * j)};
  float sum8[4] = {};
  ptx::mma_tf32(sum8, a8, b8);
  for (unsigned e = 0; e < 4; ++e) {
    const unsigned at = (group + e / 2 * 8) * 8 + member * 2 + e % 2;
    d[at] = sum[e];
    d[128 + at] = sum8[e];
  }
}
void matrices(float* d) {
  auto* s = simt::dynamic_shared<std::uint16_t>();
  for (unsigned e = threadIdx.x; e < 256; e += 32) s[e] = static_cast<std::uint16_t>(e);
  __syncwarp();
  std::uint32_t r[4];
  ptx::ldmatrix_x4(r, s + threadIdx.x * 8);
  for (unsigned m = 0; m < 4; ++m)
    d[m * 32 + threadIdx.x] = static_cast<float>((r[m] & 0xffffu) * 1000 + (r[m] >> 16));
}

}  // namespace

TEST_CASE("emulator: matrix instructions follow the documented layouts") {
  const device_memory<float> d(256);
  REQUIRE(report(exact_products, {1, 32}, d.data).empty());
  const auto found = d.read();
  for (int depth : {16, 8})
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < 8; ++j) {
        int sum = depth == 16;
        for (int k = 0; k < depth; ++k) sum += (i - k) * (k + 2 * j);
        CHECK(found[static_cast<std::size_t>((depth == 8) * 128 + i * 8 + j)] == sum);
      }
  REQUIRE(report(matrices, {1, 32, 512}, d.data).empty());
  const auto rows = d.read();
  for (unsigned e = 0; e < 128; ++e) {
    const unsigned first = e / 32 * 64 + e % 32 / 4 * 8 + e % 4 * 2;
    CHECK(rows[e] == static_cast<float>(first * 1000 + first + 1));
  }
}

TEST_CASE("emulator: device memory belongs to the device") {
  if (!simt::settings().host_trap) return;
  static sigjmp_buf back;
  const device_memory<float> d(4);
  const auto old = std::signal(SIGSEGV, [](int) { siglongjmp(back, 1); });
  volatile bool trapped = true;
  if (!sigsetjmp(back, 1)) {
    static_cast<void>(*const_cast<volatile float*>(d.data));
    trapped = false;
  }
  std::signal(SIGSEGV, old);
  CHECK(trapped);
}
