// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-bench: what a benchmark is told, what it measures, and the edge at which types end: each
// preset of networks is compiled in a translation unit of its own.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

struct bench_settings {
  std::string model{"dcgan32"}, kernels{"own"}, device{"cpu"}, precision{"fp32"};
  int batch{64}, threads{1}, steps{0}, warmup{3}, workers{4};
  double seconds{5};
  bool minimal_filtering{true};
  bool critic_only{false};  ///< a step is that of the discriminator alone
};

/// Times of one kind of work, and its cost per call.
struct timings {
  std::vector<double> seconds;  ///< one per call
  double flops{};               ///< useful ones, of products
  std::size_t planned_bytes{}, measured_bytes{};
  double allocations{};  ///< heap allocations per call
};

struct layer_timing {
  std::string network, layer, pass;
  int index{};
  timings found;
};

struct preset_bench {
  const char* name;
  timings (*step)(const bench_settings&);
  std::vector<layer_timing> (*layers)(const bench_settings&);
  timings (*rounds)(const bench_settings&);  ///< of md_gan, in process
  timings (*flat)(const bench_settings&);    ///< the same arithmetic in one loop
};

/// All presets of this build.
const std::vector<preset_bench>& timed_presets();

/// Heap allocations of the process so far.
std::size_t heap_allocations();

/// Multiply-adds of independent chains in the registers of `threads` threads, FLOP/s: the peak that
/// fractions are of.
double measured_peak(int threads);

/// Bytes per second of reading, and of copying (read and written), arrays of `bytes` per thread.
struct bandwidth {
  double read, copy;
};
bandwidth measured_bandwidth(int threads, std::size_t bytes);
