// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Weights between our storage order (channels innermost) and that of a PyTorch state dictionary.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "gantry/concepts/layer.hpp"

namespace gantry::inline v0::nn {

/// Calls f(offset in PyTorch's order, offset in storage order) for every number of a tensor.
template <class F>
void for_each_torch_offset(const tensor_info& info, F&& f) {
  const std::size_t rank = info.order.size();
  std::vector<std::size_t> stride(rank, 1), at(rank, 0);
  for (std::size_t a = rank - 1; a > 0; --a)
    stride[a - 1] = stride[a] * static_cast<std::size_t>(info.storage_extents[a]);
  const std::size_t total = info.size();
  for (std::size_t torch = 0; torch < total; ++torch) {
    std::size_t storage = 0;
    for (std::size_t a = 0; a < rank; ++a)
      storage += at[a] * stride[static_cast<std::size_t>(info.order[a])];
    f(torch, storage);
    for (std::size_t a = rank; a-- > 0;) {
      if (++at[a] <
          static_cast<std::size_t>(info.storage_extents[static_cast<std::size_t>(info.order[a])]))
        break;
      at[a] = 0;
    }
  }
}

/// Copies one tensor from storage order into PyTorch's. Both spans hold info.size() numbers.
template <class T>
void to_torch(const tensor_info& info, std::span<const T> storage, std::span<T> torch) {
  for_each_torch_offset(info, [&](std::size_t t, std::size_t s) { torch[t] = storage[s]; });
}

/// Copies one tensor from PyTorch's order into storage order. Both spans hold info.size() numbers.
template <class T>
void from_torch(const tensor_info& info, std::span<const T> torch, std::span<T> storage) {
  for_each_torch_offset(info, [&](std::size_t t, std::size_t s) { storage[s] = torch[t]; });
}

}  // namespace gantry::nn
