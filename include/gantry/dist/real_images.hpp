// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/backend.hpp"
#include "gantry/concepts/dataset.hpp"
#include "gantry/ops/image_batch.hpp"
#include "gantry/ops/pointwise.hpp"
#include "gantry/tensor/view.hpp"

namespace gantry::inline v0::dist {

/// The way of real samples from a source to a backend: a batch at a time, written by the host.
template <hwc Shape, Backend B, BatchSource Source>
class real_images {
 public:
  real_images(B&, const Source&, int) {}

  /// `host` is room for the batch.
  void read(B& b, Source& source, std::uint32_t index, std::span<float> host,
            batch_of<typename B::storage> to) {
    source.read(index, host, to.n);
    launch(b, ops::import_samples<Shape>{}, {host.data(), to});
  }
};

/// The same where the backend can keep the images: all of them go there once, if it has room, and
/// batches are gathered there, with the bits that the host would have written.
template <hwc Shape, HoldsImages B, StoredImageSource Source>
requires Implements<B, ops::image_batch<Shape>>
class real_images<Shape, B, Source> {
 public:
  /// @throws usage_error for images that are not of that shape
  real_images(B& b, const Source& source, int batch)
      : images_(b.hold(static_cast<std::size_t>(source.size()) * sample_size)),
        positions_(b.hold_positions(static_cast<std::size_t>(batch))) {
    if (images_.data()) upload(b, source);
  }

  void read(B& b, Source& source, std::uint32_t index, std::span<float> host,
            batch_of<typename B::storage> to) {
    if (!images_.data()) {
      source.read(index, host, to.n);
      launch(b, ops::import_samples<Shape>{}, {host.data(), to});
      return;
    }
    b.send(source.positions(index, to.n), positions_.data());
    launch(b, ops::image_batch<Shape>{}, {images_.data(), positions_.data(), to});
  }

 private:
  static constexpr std::size_t sample_size = static_cast<std::size_t>(Shape.size());

  /// In pieces: shards are spread over their set, and the host has no room for a second one.
  void upload(B& b, const Source& source) {
    constexpr std::size_t piece = std::max<std::size_t>(1, (std::size_t{16} << 20) / sample_size);
    const auto count = static_cast<std::size_t>(source.size());
    std::vector<std::uint8_t> bytes(std::min(piece, count) * sample_size);
    for (std::size_t first = 0; first < count; first += piece) {
      const std::size_t n = std::min(piece, count - first);
      for (std::size_t i = 0; i < n; ++i) {
        const std::span<const std::uint8_t> image = source.image(first + i);
        if (image.size() != sample_size)
          throw usage_error("expected images of " + std::to_string(sample_size) +
                            " bytes, found one of " + std::to_string(image.size()) +
                            "; match the network's input to the images");
        std::ranges::copy(image, bytes.begin() + static_cast<std::ptrdiff_t>(i * sample_size));
      }
      b.upload(std::span<const std::uint8_t>(bytes).first(n * sample_size),
               images_.data() + first * sample_size);
    }
  }

  decltype(std::declval<B&>().hold(std::size_t{})) images_;
  decltype(std::declval<B&>().hold_positions(std::size_t{})) positions_;
};

}  // namespace gantry::dist
