// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A stack of its own for each CUDA thread, and the switch between two of them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

#include "simt/options.hpp"

namespace simt {

#if defined(__x86_64__)
/// Saves the callee-saved registers on this stack, its pointer in *save, and continues on `load`.
__attribute__((naked, noinline)) inline void swap_stack(void** /*save*/, void* /*load*/) {
  asm volatile(
      "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
#else
#error "The SIMT emulator switches stacks on x86-64 only; add a swap_stack for this processor."
#endif

struct fiber {
  void* pointer = nullptr;
  char* stack = nullptr;
  std::size_t size = 0;
  void* fake_stack = nullptr;  ///< AddressSanitizer's
  void* tsan = nullptr;        ///< ThreadSanitizer's

  /// Memory for a stack; a page below it traps on overflow.
  void allocate() {
    constexpr std::size_t page = 4096;
    size = settings().stack;
    void* memory = mmap(nullptr, size + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      std::perror("simt: memory for a stack");
      std::abort();
    }
    mprotect(memory, page, PROT_NONE);
    stack = static_cast<char*>(memory) + page;
    tsan = tsan_create_fiber();
  }
  /// The next jump here enters `entry`. `colour` spreads the stacks over the sets of the cache.
  void prepare(void (*entry)(), unsigned colour) {
    asan_unpoison(stack, size);
    const auto top = (reinterpret_cast<std::uintptr_t>(stack) + size - 64 - colour * 448u % 4096) &
                     ~std::uintptr_t{15};
    auto** p = reinterpret_cast<void**>(top);
    *--p = nullptr;  // a return address, for the ABI's alignment
    *--p = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--p = nullptr;
    pointer = p;
  }
};

inline void jump(fiber& from, fiber& to) {
  asan_leave(&from.fake_stack, to.stack, to.size);
  tsan_switch_to(to.tsan);
  swap_stack(&from.pointer, to.pointer);
  asan_enter(from.fake_stack);
}

}  // namespace simt
