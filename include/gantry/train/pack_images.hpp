// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// From encoded images of any size to a packed file, on several cores and in little memory.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/image_source.hpp"
#include "gantry/data/label_index.hpp"
#include "gantry/data/prefetch.hpp"
#include "gantry/io/sha256.hpp"
#include "gantry/tensor/shape.hpp"
#include "gantry/train/packed_writer.hpp"

namespace gantry::inline v0::train {

/// Brings a decoded image to the extents that `out` has room for, such as crop_and_resize. Called
/// by several threads, each with a copy.
template <class F>
concept ImageFitter = std::copy_constructible<F> &&
    requires(F& fit, const image8& image, hwc extents, std::span<std::uint8_t> out) {
  fit(image, extents, out);
};

struct pack_options {
  hwc image{};                     ///< extents in the file
  data::prefetch_options queue{};  ///< threads that decode and resize, and how far ahead
  /// Called after each image with the number of those that are done; may throw to give up.
  std::function<void(std::size_t, const data::prefetch_counters&)> on_progress{};
};

struct pack_report {
  std::size_t images{}, classes{};
  std::string contents;  ///< SHA-256 of pixels and labels
  double seconds{};
  data::prefetch_counters decoding;
};

/// Decodes all images of a source, brings them to one size and writes them in their order. Labels
/// are left out where there are more than 256 classes. The file is the same for any number of
/// threads; `key` is kept in it (packed_header).
/// @throws data_error with the name of the first image that is damaged, error if the file cannot be
/// written; there is no new file then
template <ImageSource Source, ImageFitter Fit>
pack_report pack_images(const Source& source, Fit fit, const std::filesystem::path& target,
                        const io::sha256::digest_type& key, const pack_options& options) {
  const auto begin = std::chrono::steady_clock::now();
  const std::size_t classes = source.classes() <= data::most_labels ? source.classes() : 0;
  packed_writer writer(target, options.image, classes);
  const auto size = static_cast<std::size_t>(options.image.size());
  data::prefetcher decoded(
      source.size(),
      [&source, size, own = std::move(fit), extents = options.image,
       picture = image8{}](std::size_t i) mutable {
        source.decode(i, picture);
        std::vector<std::uint8_t> pixels(size);
        try {
          own(std::as_const(picture), extents, std::span(pixels));
        } catch (const data_error& e) {
          throw data_error(source.name(i) + ": " + e.what());
        }
        return pixels;
      },
      options.queue);
  for (std::size_t i = 0; const auto pixels = decoded.next(); ++i) {
    writer.append(*pixels, classes > 0 ? static_cast<std::uint8_t>(source.label(i)) : 0);
    if (options.on_progress) options.on_progress(i + 1, decoded.counters());
  }
  std::vector<std::string> names;
  for (std::size_t c = 0; c < classes; ++c) names.push_back(source.class_name(c));
  pack_report report{.images = source.size(),
                     .classes = classes,
                     .contents = writer.finish(names, key),
                     .seconds = 0,
                     .decoding = decoded.counters()};
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

}  // namespace gantry::train
