// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "gantry/backend/reference/backend.hpp"
#include "gantry/ops/image_batch.hpp"

namespace gantry::inline v0::backend {

template <class T, hwc Shape>
void launch(
    reference<T>&, ops::image_batch<Shape>,
    const typename ops::image_batch<Shape>::template params<typename reference<T>::storage>& p) {
  T* to = p.y.data;
  for (int i = 0; i < p.y.n; ++i) {
    const std::uint8_t* image = p.images + std::size_t{p.chosen[i] & ~ops::mirrored} *
                                               static_cast<std::size_t>(Shape.size());
    for (int pixel = 0; pixel < Shape.pixels(); ++pixel) {
      const int row = pixel / Shape.w, column = pixel % Shape.w;
      const int from = p.chosen[i] & ops::mirrored ? Shape.w - 1 - column : column;
      for (int k = 0; k < Shape.c; ++k)
        *to++ = static_cast<T>(image[(row * Shape.w + from) * Shape.c + k] / 127.5 - 1.0);
    }
  }
}

}  // namespace gantry::backend
