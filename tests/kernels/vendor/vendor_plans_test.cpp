// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The real libraries without a device: cuDNN takes the graphs of every pass and, for the
// description of a GPU, makes plans; cuBLASLt takes the descriptors. check_vendor.py builds this
// with the host's compiler.
#include <cstdint>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "gantry/backend/cuda/vendor_cublaslt.cuh"
#include "gantry/backend/cuda/vendor_plan.cuh"

using namespace gantry;
using namespace gantry::backend;

namespace {

/// An H200 in cuDNN's words.
constexpr std::string_view h200 =
    R"({"deviceName":"NVIDIA H200","cudaDeviceId":0,"deviceVer":900,"driverVer":13000,)"
    R"("isTccDriver":0,"l2CacheSize":62914560,"maxCtasPerSM":32,"maxRegistersPerSM":65536,)"
    R"("maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":232448,)"
    R"("maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"memClockRateKHz":3201000,)"
    R"("multiProcessorCount":132,"pciDeviceId":0,"regsPerBlock":65536,)"
    R"("reservedSharedMemoryPerBlock":1024,"smClockRateKHz":1980000,"supportCoopLaunch":1,)"
    R"("totalGlobalMem":150000000000,"warpSize":32,"maxGridSize":[2147483647,65535,65535],)"
    R"("maxBlockSize":[1024,1024,64]})";

/// Layers of dcgan32, dcgan64, the residual networks and the classifiers, and an odd one.
constexpr conv_geometry geometries[] = {
    {{32, 32, 3}, 64, 4, 2, 1},    {{16, 16, 64}, 128, 4, 2, 1},  {{8, 8, 128}, 256, 4, 2, 1},
    {{4, 4, 256}, 1, 4, 1, 0},     {{64, 64, 3}, 64, 4, 2, 1},    {{8, 8, 256}, 512, 4, 2, 1},
    {{32, 32, 128}, 128, 3, 1, 1}, {{16, 16, 128}, 128, 1, 1, 0}, {{28, 28, 1}, 64, 4, 2, 1},
    {{4, 4, 256}, 100, 4, 1, 0},   {{7, 5, 3}, 5, 3, 2, 1}};
constexpr conv_pass passes[] = {conv_pass::forward, conv_pass::backward_data,
                                conv_pass::backward_weights};
constexpr vendor_math maths[] = {vendor_math::fp32, vendor_math::tf32, vendor_math::bf16};

vendor_convolution question(const conv_geometry& g, conv_pass pass, vendor_math math) {
  const bool weights = pass == conv_pass::backward_weights;
  return {
      .pass = pass,
      .g = g,
      .n = 64,
      .accumulate = weights && math != vendor_math::bf16,
      .alignment = math == vendor_math::bf16 || (g.in.c % 4 == 0 && g.filters % 4 == 0) ? 16 : 4,
      .math = math};
}

}  // namespace

TEST_CASE("vendor: cuDNN takes the graph of every pass, with bias and function") {
  for (const conv_geometry& g : geometries)
    for (const conv_pass pass : passes)
      for (const vendor_math math : maths) {
        vendor_convolution v = question(g, pass, math);
        CHECK(cudnn_graph(v, nullptr).operations() == 1);
        if (pass == conv_pass::backward_weights) continue;
        v.bias = true;
        CHECK(cudnn_graph(v, nullptr).operations() == 2);
        for (const vendor_function f : {vendor_function::relu, vendor_function::leaky_relu,
                                        vendor_function::tanh, vendor_function::sigmoid}) {
          v.function = f;
          v.slope = 0.2f;
          CHECK(cudnn_graph(v, nullptr).operations() == 3);
        }
      }
}

TEST_CASE("vendor: plans for an H200, deterministic ones") {
  const cudnn_device device(h200);
  for (const conv_geometry& g : geometries)
    for (const conv_pass pass : passes)
      for (const vendor_math math : maths) {
        const vendor_convolution v = question(g, pass, math);
        CAPTURE(g.in.h);
        CAPTURE(g.filters);
        CAPTURE(static_cast<int>(pass));
        CAPTURE(static_cast<int>(math));
        const auto plan = cudnn_plan::find(v, device, std::size_t{64} << 20);
        REQUIRE(plan);
        CHECK(plan->workspace() <= std::size_t{64} << 20);
      }
  CHECK(!is_allowed(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, vendor_math::bf16));
  CHECK(!is_allowed(CUDNN_NUMERICAL_NOTE_TENSOR_CORE, vendor_math::fp32));
  CHECK(is_allowed(CUDNN_NUMERICAL_NOTE_TENSOR_CORE, vendor_math::tf32));
}

TEST_CASE("vendor: a graph that is none names the call and the reason") {
  vendor_convolution v = question(geometries[1], conv_pass::forward, vendor_math::fp32);
  v.n = 0;
  try {
    cudnn_graph graph(v, nullptr);
    FAIL("a batch of 0 was taken");
  } catch (const device_error& e) {
    CHECK(e.call() == "cudnnBackendFinalize");
    CHECK(e.name().find("BAD_PARAM") != std::string::npos);
    CHECK(!e.reason().empty());
  }
  CHECK_THROWS_AS(cudnn_device{std::string_view("{}")}, device_error);
}

TEST_CASE("vendor: cuBLASLt takes the descriptors of every product") {
  constexpr linear_geometry layers[] = {
      {{1, 1, 100}, 4096}, {{28, 28, 1}, 512}, {{1, 1, 1024}, 1}, {{3, 5, 7}, 33}};
  for (const linear_geometry& g : layers)
    for (const vendor_math math : maths)
      for (vendor_product p : {product_of_forward(g, 64), product_of_backward_data(g, 64),
                               product_of_backward_weights(g, 64)}) {
        p.math = math;
        p.bias = p.transpose_a;
        p.relu = math == vendor_math::tf32;
        const product_descriptors d(p);
        std::uint64_t rows = 0, columns = 0;
        std::size_t written = 0;
        const auto get = [&](auto layout, auto name, std::uint64_t& value) {
          check_cublas(
              cublasLtMatrixLayoutGetAttribute(layout, name, &value, sizeof value, &written),
              "cublasLtMatrixLayoutGetAttribute");
        };
        get(d.a(), CUBLASLT_MATRIX_LAYOUT_ROWS, rows);
        get(d.a(), CUBLASLT_MATRIX_LAYOUT_COLS, columns);
        CHECK(rows * columns == static_cast<std::uint64_t>(numbers_of_a(p)));
        get(d.b(), CUBLASLT_MATRIX_LAYOUT_ROWS, rows);
        get(d.b(), CUBLASLT_MATRIX_LAYOUT_COLS, columns);
        CHECK(rows * columns == static_cast<std::uint64_t>(numbers_of_b(p)));
        get(d.d(), CUBLASLT_MATRIX_LAYOUT_ROWS, rows);
        CHECK(rows == static_cast<std::uint64_t>(p.rows));
      }
}
