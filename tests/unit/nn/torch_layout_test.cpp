// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/nn/layers.hpp"
#include "gantry/nn/torch_layout.hpp"

using namespace gantry;

namespace {

/// 0, 1, 2, ... in storage order, read in PyTorch's order.
std::vector<int> torch_of_iota(const tensor_info& info) {
  std::vector<int> storage(info.size()), torch(info.size(), -1);
  std::iota(storage.begin(), storage.end(), 0);
  nn::to_torch(info, std::span<const int>(storage), std::span<int>(torch));
  return torch;
}

tensor_info named(const std::vector<tensor_info>& all, const std::string& name) {
  const auto found = std::ranges::find(all, name, &tensor_info::name);
  REQUIRE(found != all.end());
  return *found;
}

}  // namespace

TEST_CASE("torch_layout: a vector keeps its order") {
  CHECK(torch_of_iota(nn::plain_tensor("bias", 0, 4)) == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("torch_layout: conv weights go from [out][y][x][in] to [out][in][y][x]") {
  const auto info = conv2d<2, 2>::tensors({4, 4, 3}, {}).front();
  CHECK(torch_of_iota(info) == std::vector<int>{0,  3,  6,  9,  1,  4,  7,  10, 2,  5,  8,  11,  //
                                                12, 15, 18, 21, 13, 16, 19, 22, 14, 17, 20, 23});
}

TEST_CASE("torch_layout: transposed conv weights go from [in][y][x][out] to [in][out][y][x]") {
  const auto info = conv_transpose2d<3, 2>::tensors({4, 4, 1}, {}).front();
  CHECK(torch_of_iota(info) == std::vector<int>{0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11});
}

TEST_CASE("torch_layout: linear between vectors keeps its order") {
  const auto all = sequential<latent<2>, linear<3>>::tensors();
  CHECK(torch_of_iota(all[0]) == std::vector<int>{0, 1, 2, 3, 4, 5});
  CHECK(torch_of_iota(all[1]) == std::vector<int>{0, 1, 2});
}

TEST_CASE("torch_layout: linear before a reshape gives its rows and its bias channels first") {
  using net = sequential<latent<2>, linear<12>, reshape<2, 3, 2>, batch_norm>;
  const auto all = net::tensors();
  // Rows are stored (y, x, c); PyTorch reads them as (c, y, x).
  const std::vector<int> rows{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11};
  CHECK(torch_of_iota(named(all, "0.bias")) == rows);
  std::vector<int> weight;
  for (const int row : rows)
    for (int k = 0; k < 2; ++k) weight.push_back(2 * row + k);
  CHECK(torch_of_iota(named(all, "0.weight")) == weight);
  CHECK(torch_of_iota(named(all, "2.weight")) == std::vector<int>{0, 1});
}

TEST_CASE("torch_layout: linear after a conv reads its columns channels first") {
  const std::vector<int> columns{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11};
  std::vector<int> weight = columns;
  for (const int k : columns) weight.push_back(12 + k);
  // conv gives 2 x 3 x 2
  const auto direct = sequential<image<3, 4, 1>, conv2d<2, 2>, leaky_relu, linear<2>>::tensors();
  CHECK(torch_of_iota(named(direct, "2.weight")) == weight);
  CHECK(torch_of_iota(named(direct, "2.bias")) == std::vector<int>{0, 1});
  const auto flat = sequential<image<3, 4, 1>, conv2d<2, 2>, flatten, linear<2>>::tensors();
  CHECK(torch_of_iota(named(flat, "2.weight")) == weight);
  const auto first = sequential<image<2, 3, 2>, linear<2>>::tensors();
  CHECK(torch_of_iota(named(first, "0.weight")) == weight);
}

TEST_CASE("torch_layout: linear from an image to an image permutes both sides") {
  using net = sequential<image<1, 2, 2>, linear<4>, reshape<2, 1, 2>>;
  const auto weight = torch_of_iota(named(net::tensors(), "0.weight"));
  const int order[] = {0, 2, 1, 3};
  std::vector<int> expected;
  for (const int row : order)
    for (const int column : order) expected.push_back(4 * row + column);
  CHECK(weight == expected);
}

TEST_CASE("torch_layout: mini-batch discrimination reads its columns channels first") {
  using net = sequential<image<1, 2, 2>, minibatch_discrimination<1, 2>>;
  CHECK(torch_of_iota(named(net::tensors(), "0.weight")) ==
        std::vector<int>{0, 2, 1, 3, 4, 6, 5, 7});
}

TEST_CASE("torch_layout: there and back is the identity, and every number is met once") {
  using net = sequential<latent<3>, linear<24>, reshape<2, 3, 4>, batch_norm, relu,
                         conv_transpose2d<5, 4, 2, 1>, conv2d<2, 3, 2>, flatten, linear<4>,
                         minibatch_discrimination<3, 2>, linear<1>>;
  for (const tensor_info& info : net::tensors()) {
    CAPTURE(info.name);
    std::vector<float> storage(info.size()), back(info.size());
    std::iota(storage.begin(), storage.end(), 1.0f);
    std::vector<float> torch(info.size());
    nn::to_torch(info, std::span<const float>(storage), std::span<float>(torch));
    nn::from_torch(info, std::span<const float>(torch), std::span<float>(back));
    CHECK(back == storage);
    std::ranges::sort(torch);
    CHECK(torch == storage);
    CHECK(std::accumulate(info.shape.begin(), info.shape.end(), std::int64_t{1},
                          std::multiplies<>()) == static_cast<std::int64_t>(info.size()));
    std::vector<int> axes = info.order;
    std::ranges::sort(axes);
    std::vector<int> all(info.storage_extents.size());
    std::iota(all.begin(), all.end(), 0);
    CHECK(axes == all);
  }
}
