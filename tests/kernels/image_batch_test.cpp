// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/reference/image_batch.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/kernels/image_batch/launch.cuh"

#include "kernels/device.cuh"
#include "support/compare.hpp"

using namespace gantry;
using namespace gantry::test;

namespace {

/// Every value of a pixel, and no two images alike.
std::vector<std::uint8_t> some_images(std::size_t count) {
  std::vector<std::uint8_t> pixels(count);
  for (std::size_t i = 0; i < count; ++i) pixels[i] = static_cast<std::uint8_t>(i + i / 256);
  return pixels;
}

template <class T>
T* on_device(const std::vector<T>& values, const device_buffer& memory, std::size_t shift) {
  T* to = reinterpret_cast<T*>(memory.data()) + shift;
  if (values.empty()) return to;
  kernels::check(cudaMemcpy(to, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
                 "cudaMemcpy");
  return to;
}

/// The images' bytes begin `shift` bytes behind a boundary.
template <hwc Shape>
outcome gathers(const std::vector<std::uint8_t>& pixels, const std::vector<std::uint32_t>& chosen,
                std::size_t shift = 0) {
  const int n = static_cast<int>(chosen.size());
  const std::size_t count = nhwc::elements(Shape, n);
  std::vector<float> expected(count), found(count);
  backend::reference<float> oracle;
  launch(oracle, ops::image_batch<Shape>{}, {pixels.data(), chosen.data(), {expected.data(), n}});

  auto& b = aligned_device<>();
  const device_buffer images = b.allocate(pixels.size() / 4 + 2), list = b.allocate(chosen.size());
  const device_buffer y = b.allocate(count);
  launch(b, ops::image_batch<Shape>{},
         {on_device(pixels, images, shift), on_device(chosen, list, 0), {y.data(), n}});
  if (count > 0) b.download(y.data(), found);
  return same_bits(found, expected);
}

}  // namespace

TEST_CASE("image batch kernel: the reference has the numbers of the host's table") {
  const auto pixels = some_images(256);
  std::vector<float> found(256);
  backend::reference<float> oracle;
  const std::uint32_t first = 0;
  launch(oracle, ops::image_batch<hwc{16, 16, 1}>{}, {pixels.data(), &first, {found.data(), 1}});
  for (std::size_t i = 0; i < 256; ++i) CHECK(found[i] == data::pixel_to_float[i]);
}

TEST_CASE("image batch kernel: chosen images, bit for bit") {
  constexpr std::uint32_t turned = ops::mirrored;
  // Packs of four, several of one image, mirrored ones between others.
  const auto colour = some_images(7 * 6 * 4 * 3);
  CHECK(gathers<hwc{6, 4, 3}>(colour, {6, 0, 3, 3, 1 | turned, 5, 0 | turned}));
  CHECK(gathers<hwc{6, 4, 3}>(colour, {2}));
  CHECK(gathers<hwc{6, 4, 3}>(colour, {4, 6 | turned, 1}, 1));  // no boundary of four bytes
  // 15 pixels: no pack, whose end would be in the next image.
  const auto odd = some_images(5 * 3 * 5);
  CHECK(gathers<hwc{3, 5, 1}>(odd, {4, 1 | turned, 0}));
  // So many that the loop over the grid turns more than once.
  const auto grey = some_images(9 * 28 * 28);
  std::vector<std::uint32_t> many(40);
  for (std::uint32_t i = 0; i < many.size(); ++i) many[i] = i * 5 % 9 | (i % 3 == 0 ? turned : 0);
  CHECK(gathers<hwc{28, 28, 1}>(grey, many));
  CHECK(gathers<hwc{28, 28, 1}>(grey, {}));
}
