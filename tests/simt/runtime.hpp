// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The calls of CUDA's runtime that Gantry uses.
#pragma once

#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>
#include <typeinfo>

#include "simt/stream.hpp"
#include "simt/warp.hpp"

enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeRelaxed = 2 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16 };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };

namespace simt {

/// What a GPU refuses.
template <class... P>
cudaError_t check_launch(void (*kernel)(P...), const launch_shape& shape) {
  auto& runtime = runtime_state::instance();
  const dim3 g = shape.grid, b = shape.block;
  const std::uint64_t threads = std::uint64_t{b.x} * b.y * b.z;
  if (!threads || threads > 1024 || b.z > 64 || !g.x || !g.y || !g.z || g.x > 0x7fffffffu ||
      g.y > 65535 || g.z > 65535)
    return runtime.note(cudaErrorInvalidConfiguration);
  const auto allowed =
      runtime.most_shared.find({runtime.device, reinterpret_cast<const void*>(kernel)});
  const std::size_t most =
      allowed == runtime.most_shared.end() ? std::size_t{48} << 10 : allowed->second;
  return shape.shared_bytes > most ? runtime.note(cudaErrorInvalidValue) : cudaSuccess;
}

/// A word of a kernel's argument that points into another device's memory, as a sentence; else "".
/// Kernels reach no other device: nothing here makes devices peers. Padding holds what the stack
/// held, so a compiler is needed that can clear it.
template <class T>
std::string foreign_pointer(T argument, int device) {
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&argument);
  auto& heap = device_heap::instance();
  for (std::size_t at = 0; at + sizeof(void*) <= sizeof(T); at += sizeof(void*)) {
    const void* word = nullptr;
    std::memcpy(&word, reinterpret_cast<const char*>(&argument) + at, sizeof word);
    if (heap.owns(word) && heap.device_of(word) != device && heap.contains(word, 0))
      return "a kernel on device " + std::to_string(device) + " was given memory of device " +
             std::to_string(heap.device_of(word)) + " (byte " + std::to_string(at) + " of its " +
             typeid(T).name() + ")";
  }
#else
  static_cast<void>(argument), static_cast<void>(device);
#endif
  return {};
}

/// A kernel with its arguments, to be run later on the calling thread's device.
template <class... P>
std::function<void()> bound_kernel(void (*kernel)(P...), const launch_shape& shape,
                                   const std::type_identity_t<P>&... arguments) {
  return [kernel, shape, device = runtime_state::device,
          held = std::tuple<std::remove_cv_t<P>...>(arguments...)] {
    if (!settings().kernels) return;
    auto& runtime = runtime_state::instance();
    std::string sentence;
    std::apply([&](const auto&... a) { ((sentence += foreign_pointer(a, device)), ...); }, held);
    const bool foreign = !sentence.empty();
    ++runtime.kernels_of_device[static_cast<std::size_t>(device)];
    if (!foreign) sentence = run_kernel(shape, kernel, std::tuple<P...>(held));
    if (sentence.empty()) return;
    runtime.message = sentence;
    runtime.sticky = foreign ? cudaErrorIllegalAddress : cudaErrorLaunchFailure;
  };
}

/// How Gantry's kernels are started where there is no <<<>>>.
template <class... P>
cudaError_t launch(void (*kernel)(P...), const launch_shape& shape, cudaStream_t stream,
                   const std::type_identity_t<P>&... arguments) {
  auto& runtime = runtime_state::instance();
  const runtime_guard guard(runtime.mutex);
  if (const auto e = check_launch(kernel, shape)) return e;
  if (const auto e = runtime.refuse_other_device(runtime.of(stream).device)) return e;
  return runtime.enqueue(stream, bound_kernel(kernel, shape, arguments...));
}

template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(self->dynamic_shared());
}

inline cudaError_t check_copy(const void* to, const void* from, std::size_t bytes,
                              cudaMemcpyKind kind) {
  auto& heap = device_heap::instance();
  auto& runtime = runtime_state::instance();
  const bool to_device = heap.owns(to), from_device = heap.owns(from);
  const bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault && (to_device != wants_to || from_device != wants_from))
    return runtime.note(cudaErrorInvalidMemcpyDirection);
  if ((to_device && !heap.contains(to, bytes)) || (from_device && !heap.contains(from, bytes)))
    return runtime.note(cudaErrorInvalidValue);
  return cudaSuccess;
}

}  // namespace simt

inline cudaError_t cudaGetLastError() {
  auto& r = simt::runtime_state::instance();
  const auto e = std::exchange(r.last_error, cudaSuccess);
  return r.sticky != cudaSuccess ? r.sticky : e;
}
inline const char* cudaGetErrorString(cudaError_t e) {
  const auto& r = simt::runtime_state::instance();
  if (e == r.sticky && !r.message.empty()) return r.message.c_str();
  switch (e) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    default:
      return "CUDA error";
  }
}
inline const char* cudaGetErrorName(cudaError_t e) {
  switch (e) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    default:
      return "cudaErrorUnknown";
  }
}

inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = simt::settings().devices;
  return *count ? cudaSuccess : simt::runtime_state::instance().note(cudaErrorNoDevice);
}
inline cudaError_t cudaSetDevice(int device) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (device < 0 || device >= simt::settings().devices) return r.note(cudaErrorInvalidDevice);
  r.device = device;
  return cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = simt::runtime_state::device;
  return cudaSuccess;
}
/// So few multiprocessors that loops over the grid turn more than once.
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int device) {
  *value = 3;
  return device >= 0 && device < simt::settings().devices
             ? cudaSuccess
             : simt::runtime_state::instance().note(cudaErrorInvalidDevice);
}
inline cudaError_t cudaMemGetInfo(std::size_t* unused, std::size_t* all) {
  *unused = *all = simt::device_heap::reserved;
  return cudaSuccess;
}
/// Forgets errors and queued work; memory stays.
inline cudaError_t cudaDeviceReset() {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  r.sticky = r.last_error = cudaSuccess;
  r.message.clear();
  const auto forget = [](CUstream_st& s) {
    s.queue.clear();
    s.done = s.queued;
  };
  for (CUstream_st& s : r.legacy) forget(s);
  for (CUstream_st* s : r.streams) forget(*s);
  return cudaSuccess;
}

template <class T>
cudaError_t cudaMalloc(T** p, std::size_t bytes) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (const auto e = r.refuse_in_capture()) return e;
  *p = bytes ? static_cast<T*>(simt::device_heap::instance().allocate(r.device, bytes)) : nullptr;
  return *p || !bytes ? cudaSuccess : r.note(cudaErrorMemoryAllocation);
}
inline cudaError_t cudaFree(void* p) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (!p) return cudaSuccess;
  if (const auto e = r.refuse_in_capture()) return e;
  r.drain_all();
  return simt::device_heap::instance().release(p) ? cudaSuccess : r.note(cudaErrorInvalidValue);
}
/// Host memory that a device can read while the host goes on.
template <class T>
cudaError_t cudaMallocHost(T** p, std::size_t bytes) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (const auto e = r.refuse_in_capture()) return e;
  *p = static_cast<T*>(std::malloc(bytes));
  return *p ? cudaSuccess : r.note(cudaErrorMemoryAllocation);
}
inline cudaError_t cudaFreeHost(void* p) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (const auto e = r.refuse_in_capture()) return e;
  r.drain_all();
  std::free(p);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes,
                                   cudaMemcpyKind kind, cudaStream_t stream = nullptr) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (const auto e = simt::check_copy(to, from, bytes, kind)) return e;
  return r.enqueue(stream, [=] { std::memcpy(to, from, bytes); });
}
inline cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes,
                                   cudaStream_t stream = nullptr) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (!simt::device_heap::instance().contains(to, bytes)) return r.note(cudaErrorInvalidValue);
  if (const auto e = r.refuse_other_device(r.of(stream).device)) return e;
  return r.enqueue(stream, [=] { std::memset(to, value, bytes); });
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (const auto e = r.refuse_in_capture()) return e;
  r.wait_for(r.of(stream));
  return r.note(r.sticky);
}
inline cudaError_t cudaDeviceSynchronize() {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (const auto e = r.refuse_in_capture()) return e;
  r.drain_all();
  return r.note(r.sticky);
}
inline cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (const auto e = r.refuse_in_capture()) return e;
  if (const auto e = cudaMemcpyAsync(to, from, bytes, kind)) return e;
  return cudaStreamSynchronize(nullptr);
}

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  *stream = new CUstream_st;
  (*stream)->device = r.device;
  (*stream)->waits_for_legacy = !(flags & cudaStreamNonBlocking);
  r.streams.insert(*stream);
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (!r.streams.count(stream)) return r.note(cudaErrorInvalidResourceHandle);
  r.drain(*stream);
  r.streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  (*event)->device = simt::runtime_state::device;
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  CUstream_st& s = r.of(stream);
  if (event->device != s.device) return r.note(cudaErrorInvalidResourceHandle);
  event->stream = &s;
  event->capture = s.capture;
  event->position = s.queued;
  return cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned = 0) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  CUstream_st& s = r.of(stream);
  if (!event->stream) return cudaSuccess;
  if (event->capture) {  // the stream joins the capture
    s.capture = event->capture;
    return cudaSuccess;
  }
  s.queue.push_back({{{event->stream, event->position}}, nullptr});
  ++s.queued;
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (event->stream && r.exists(event->stream)) r.drain(*event->stream, event->position);
  return r.note(r.sticky);
}
inline cudaError_t cudaEventQuery(cudaEvent_t event) {
  return !event->stream || event->stream->done >= event->position ? cudaSuccess : cudaErrorNotReady;
}

template <class... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute, int bytes) {
  auto& r = simt::runtime_state::instance();
  const simt::runtime_guard guard(r.mutex);
  if (bytes < 0 || static_cast<std::size_t>(bytes) > simt::worker::most_shared)
    return r.note(cudaErrorInvalidValue);
  r.most_shared[{r.device, reinterpret_cast<const void*>(kernel)}] =
      static_cast<std::size_t>(bytes);
  return cudaSuccess;
}
