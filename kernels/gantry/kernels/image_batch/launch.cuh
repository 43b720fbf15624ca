// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/kernels/image_batch/kernel.cuh"

namespace gantry::inline v0::kernels {

template <hwc Shape>
void launch(const context& c, ops::image_batch<Shape>,
            const params_of<ops::image_batch<Shape>>& p) {
  using selector = image_batch_policy_selector;
  using body_type = image_batch_body<Shape.h, Shape.w, Shape.c>;
  const body_type body{p.images, p.chosen, p.y.data, nhwc::elements(Shape, p.y.n)};
  if (body.count == 0) return;
  if constexpr (Shape.size() % 4 == 0)
    if (allow_packs(p.images) && allow_packs(p.y.data))
      return start(c, image_batch_kernel<selector, true, body_type>,
                   stream_size(c, body.count, selector{}(true)), body);
  start(c, image_batch_kernel<selector, false, body_type>,
        stream_size(c, body.count, selector{}(false)), body);
}

}  // namespace gantry::kernels
