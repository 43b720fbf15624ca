// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Streams, events, graphs and refused calls of the emulated runtime.
#include <string>
#include <vector>

#include <cuda_runtime.h>
#include <doctest/doctest.h>

namespace {

struct scale_args {
  float* p;
  float by;
  int n;
};
void scale(scale_args a) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < a.n) a.p[i] *= a.by;
}
struct add_args {
  const float *a, *b;
  float* sum;
  int n;
};
void add(add_args a) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < a.n) a.sum[i] = a.a[i] + a.b[i];
}

constexpr int n = 1000;
constexpr std::size_t bytes = n * sizeof(float);

struct fixture {
  fixture() {
    for (float** p : {&a, &b, &c}) REQUIRE(cudaMalloc(p, bytes) == cudaSuccess);
    for (cudaStream_t* s : {&first, &second})
      REQUIRE(cudaStreamCreateWithFlags(s, cudaStreamNonBlocking) == cudaSuccess);
    for (cudaEvent_t* e : {&fork, &join})
      REQUIRE(cudaEventCreateWithFlags(e, cudaEventDisableTiming) == cudaSuccess);
    for (int i = 0; i < n; ++i) host.push_back(static_cast<float>(i));
  }
  ~fixture() {
    for (cudaEvent_t e : {fork, join}) cudaEventDestroy(e);
    for (cudaStream_t s : {first, second}) cudaStreamDestroy(s);
    for (float* p : {a, b, c}) cudaFree(p);
  }
  fixture(const fixture&) = delete;
  fixture& operator=(const fixture&) = delete;
  void upload() {
    cudaMemcpyAsync(a, host.data(), bytes, cudaMemcpyHostToDevice, first);
    cudaMemcpyAsync(b, host.data(), bytes, cudaMemcpyHostToDevice, second);
  }
  cudaError_t start(cudaStream_t s, float* p, float by) {
    return simt::launch(scale, {8, 128}, s, scale_args{p, by, n});
  }
  float *a = nullptr, *b = nullptr, *c = nullptr;
  cudaStream_t first = nullptr, second = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  std::vector<float> host, result = std::vector<float>(n, -1);
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "runtime: work of two streams joined by an event") {
  upload();
  CHECK(start(first, a, 2) == cudaSuccess);
  CHECK(start(second, b, 3) == cudaSuccess);
  CHECK(cudaEventRecord(join, second) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(first, join) == cudaSuccess);
  CHECK(simt::launch(add, {8, 128}, first, add_args{a, b, c, n}) == cudaSuccess);
  cudaMemcpyAsync(result.data(), c, bytes, cudaMemcpyDeviceToHost, first);
  if (simt::settings().lazy_streams) {  // nothing waited yet: the old bytes, not those of luck
    CHECK(result[7] == -1);
    CHECK(cudaEventQuery(join) == cudaErrorNotReady);
  }
  CHECK(cudaStreamSynchronize(first) == cudaSuccess);
  for (std::size_t i = 0; i < n; ++i) host[i] *= 5;
  CHECK(result == host);
}

TEST_CASE_FIXTURE(fixture, "runtime: a captured graph runs when it is launched, each time") {
  upload();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal) == cudaSuccess);
  CHECK(cudaEventRecord(fork, first) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(second, fork) == cudaSuccess);
  CHECK(start(first, a, 2) == cudaSuccess);
  CHECK(start(second, b, 1) == cudaSuccess);
  CHECK(cudaEventRecord(join, second) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(first, join) == cudaSuccess);
  CHECK(simt::launch(add, {8, 128}, first, add_args{a, b, c, n}) == cudaSuccess);
  REQUIRE(cudaStreamEndCapture(first, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaMemcpy(result.data(), a, bytes, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(result[1] == 1);  // the capture ran nothing
  for (int i = 0; i < 3; ++i) CHECK(cudaGraphLaunch(executable, first) == cudaSuccess);
  CHECK(cudaStreamSynchronize(first) == cudaSuccess);
  CHECK(cudaMemcpy(result.data(), c, bytes, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(result[1] == 9);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
}

TEST_CASE_FIXTURE(fixture, "runtime: a capture that allocates or waits is lost") {
  cudaGraph_t graph = nullptr;
  float* p = nullptr;
  REQUIRE(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal) == cudaSuccess);
  CHECK(cudaMalloc(&p, 4) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamSynchronize(first) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(first, &graph) == cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
}

TEST_CASE_FIXTURE(fixture, "runtime: what a GPU refuses is refused") {
  const scale_args args{a, 1, n};
  CHECK(simt::launch(scale, {1, 2048}, first, args) == cudaErrorInvalidConfiguration);
  CHECK(simt::launch(scale, {0, 32}, first, args) == cudaErrorInvalidConfiguration);
  CHECK(simt::launch(scale, {1, 32, 60 << 10}, first, args) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(scale, cudaFuncAttributeMaxDynamicSharedMemorySize, 60 << 10) ==
        cudaSuccess);
  CHECK(simt::launch(scale, {1, 32, 60 << 10}, first, args) == cudaSuccess);
  CHECK(cudaFuncSetAttribute(scale, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10) ==
        cudaErrorInvalidValue);
  CHECK(cudaMemcpy(a, b, bytes, cudaMemcpyHostToDevice) == cudaErrorInvalidMemcpyDirection);
  CHECK(cudaMemcpy(a, host.data(), bytes + 4, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaFree(host.data()) == cudaErrorInvalidValue);
  cudaGetLastError();
}

namespace {

/// The calling thread is on another device while one lives.
struct elsewhere {
  elsewhere() { REQUIRE(cudaSetDevice(1) == cudaSuccess); }
  ~elsewhere() { cudaSetDevice(0); }
  elsewhere(const elsewhere&) = delete;
  elsewhere& operator=(const elsewhere&) = delete;
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "runtime: each device has its memory, streams and events") {
  int device = -1;
  CHECK(cudaSetDevice(simt::settings().devices) == cudaErrorInvalidDevice);
  float* other = nullptr;
  cudaStream_t third = nullptr;
  upload();
  {
    const elsewhere there;
    CHECK(cudaGetDevice(&device) == cudaSuccess);
    CHECK(device == 1);
    CHECK(cudaMalloc(&other, bytes) == cudaSuccess);
    CHECK(cudaStreamCreateWithFlags(&third, cudaStreamNonBlocking) == cudaSuccess);
    CHECK(start(first, a, 2) == cudaErrorInvalidResourceHandle);
    CHECK(cudaMemsetAsync(a, 0, bytes, first) == cudaErrorInvalidResourceHandle);
    CHECK(cudaEventRecord(join, third) == cudaErrorInvalidResourceHandle);
    CHECK(cudaMemcpy(other, host.data(), bytes, cudaMemcpyHostToDevice) == cudaSuccess);
    CHECK(start(third, other, 2) == cudaSuccess);
    CHECK(cudaStreamSynchronize(third) == cudaSuccess);
  }
  CHECK(cudaGetDevice(&device) == cudaSuccess);
  CHECK(device == 0);
  CHECK(cudaMemcpy(a, other, bytes, cudaMemcpyDeviceToDevice) == cudaSuccess);
  CHECK(cudaMemcpy(result.data(), a, bytes, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(result[7] == 2 * host[7]);
  cudaStreamDestroy(third);
  cudaFree(other);
  cudaGetLastError();
}

TEST_CASE_FIXTURE(fixture, "runtime: a kernel reaches no other device's memory") {
  float* other = nullptr;
  {
    const elsewhere there;
    CHECK(cudaMalloc(&other, bytes) == cudaSuccess);
  }
  CHECK(simt::launch(add, {8, 128}, first, add_args{a, other, c, n}) == cudaSuccess);
#if __has_builtin(__builtin_clear_padding)
  CHECK(cudaStreamSynchronize(first) == cudaErrorIllegalAddress);
  CHECK(std::string(cudaGetErrorString(cudaErrorIllegalAddress))
            .find("a kernel on device 0 was given memory of device 1 (byte 8") == 0);
#endif
  CHECK(cudaDeviceReset() == cudaSuccess);
  cudaFree(other);
}

TEST_CASE("runtime: nothing is left allocated") {
  const std::size_t before = simt::device_heap::instance().allocations();
  { const fixture f; }
  CHECK(simt::device_heap::instance().allocations() == before);
}
