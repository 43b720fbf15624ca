// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The sanitizers' interfaces as functions that do nothing without them.
#pragma once

#include <cstddef>

// g++ has macros for them, clang++ features.
#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN
#elif defined(__SANITIZE_THREAD__)
#define SIMT_TSAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN
#elif __has_feature(thread_sanitizer)
#define SIMT_TSAN
#endif
#endif

#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(SIMT_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
#endif

namespace simt {

#if defined(SIMT_ASAN)
inline constexpr bool under_asan = true;
inline void asan_poison(const void* p, std::size_t n) { __asan_poison_memory_region(p, n); }
inline void asan_unpoison(const void* p, std::size_t n) { __asan_unpoison_memory_region(p, n); }
inline void asan_leave(void** fake_stack, const void* stack, std::size_t size) {
  __sanitizer_start_switch_fiber(fake_stack, stack, size);
}
inline void asan_enter(void* fake_stack) {
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
}
#else
inline constexpr bool under_asan = false;
inline void asan_poison(const void*, std::size_t) {}
inline void asan_unpoison(const void*, std::size_t) {}
inline void asan_leave(void**, const void*, std::size_t) {}
inline void asan_enter(void*) {}
#endif

#if defined(SIMT_TSAN)
inline constexpr bool under_tsan = true;
inline void tsan_acquire(void* key) { __tsan_acquire(key); }
inline void tsan_release(void* key) { __tsan_release(key); }
inline void* tsan_create_fiber() { return __tsan_create_fiber(0); }
inline void* tsan_current_fiber() { return __tsan_get_current_fiber(); }
inline void tsan_switch_to(void* fiber) {
  __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
}
/// While one lives, ThreadSanitizer sees no accesses: the engine's bookkeeping. The state belongs
/// to the fiber, so that this nests over switches.
struct quiet {
  quiet() {
    AnnotateIgnoreReadsBegin("", 0);
    AnnotateIgnoreWritesBegin("", 0);
  }
  ~quiet() {
    AnnotateIgnoreWritesEnd("", 0);
    AnnotateIgnoreReadsEnd("", 0);
  }
  quiet(const quiet&) = delete;
  quiet& operator=(const quiet&) = delete;
};
#else
inline constexpr bool under_tsan = false;
inline void tsan_acquire(void*) {}
inline void tsan_release(void*) {}
inline void* tsan_create_fiber() { return nullptr; }
inline void* tsan_current_fiber() { return nullptr; }
inline void tsan_switch_to(void*) {}
struct quiet {
  quiet() {}
  ~quiet() {}
  quiet(const quiet&) = delete;
  quiet& operator=(const quiet&) = delete;
};
#endif

}  // namespace simt
