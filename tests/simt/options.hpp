// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Settings of the emulator, read once from the environment, and the place of a call in a source.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "simt/sanitizers.hpp"

namespace simt {

/// The call site of a device function, taken by a default argument. std::source_location would
/// need clang 16.
struct location {
  const char* file = "";
  unsigned line = 0;
  static constexpr location current(const char* file = __builtin_FILE(),
                                    unsigned line = __builtin_LINE()) {
    return {file, line};
  }
  [[nodiscard]] const char* file_name() const {
    const char* slash = std::strrchr(file, '/');
    return slash ? slash + 1 : file;
  }
  friend bool operator==(const location& a, const location& b) {
    return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
  }
};

/// In which order threads and blocks run between points of synchronisation.
enum class order { forward, reverse, random };

/// SIMT_ORDER=forward|reverse|random[:seed]; SIMT_THREADS=<operating system's threads>;
/// SIMT_ASYNC=lazy|eager: when a stream's work runs (lazy: when something waits for it);
/// SIMT_HOSTTRAP=0|1: whether the host traps when it touches device memory;
/// SIMT_KERNELS=0|1: whether kernels run at all, which who counts them does not need;
/// SIMT_DEVICES=<number>;
/// SIMT_REPORT=<file>: a process that ends adds a line, how many kernels ran on each device.
struct options {
  order schedule = order::forward;
  std::uint64_t seed = 1;
  // Under AddressSanitizer __shared__ is one static array, so there is one block at a time.
  unsigned threads = under_asan ? 1 : std::max(1u, std::thread::hardware_concurrency());
  std::size_t stack = under_asan || under_tsan ? 256 << 10 : 64 << 10;
  int devices = 2;
  const char* report = std::getenv("SIMT_REPORT");
  bool lazy_streams = true, host_trap = false, kernels = true;

  options() {
    if (const char* e = std::getenv("SIMT_ORDER")) {
      schedule = e[0] == 'f' ? order::forward : e[1] == 'e' ? order::reverse : order::random;
      if (const char* colon = std::strchr(e, ':')) seed = std::strtoull(colon + 1, nullptr, 10);
    }
    if (const char* e = std::getenv("SIMT_THREADS"); e && !under_asan)
      threads = static_cast<unsigned>(std::max(1, std::atoi(e)));
    if (const char* e = std::getenv("SIMT_DEVICES")) devices = std::clamp(std::atoi(e), 0, 64);
    if (const char* e = std::getenv("SIMT_ASYNC")) lazy_streams = e[0] != 'e';
    if (const char* e = std::getenv("SIMT_HOSTTRAP")) host_trap = e[0] != '0';
    if (const char* e = std::getenv("SIMT_KERNELS")) kernels = e[0] != '0';
  }
};

inline const options& settings() {
  static const options o;
  return o;
}

}  // namespace simt
