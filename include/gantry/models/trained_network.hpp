// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What feature networks with published weights share: reading PyTorch's tensors, and running images
// through a graph on several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/thread_pool.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/io/sha256.hpp"
#include "gantry/metrics/inference.hpp"
#include "gantry/metrics/inference_graph.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0::models {

namespace infer = metrics::inference;

/// The tensors of a PyTorch module in a safetensors file, each taken once by its name.
class torch_weights {
 public:
  /// @throws data_error if the file cannot be read or is no safetensors file
  static torch_weights read(const std::filesystem::path& path) {
    const std::vector<std::byte> bytes = io::read_file(path);
    return {io::safetensors_file::parse(bytes, path.string()), io::sha256_hex(bytes),
            path.string()};
  }

  /// SHA-256 of the file.
  [[nodiscard]] const std::string& hash() const { return hash_; }
  [[nodiscard]] const std::string& file() const { return name_; }

  /// @throws data_error if there is no tensor of this name, dtype F32 and shape
  [[nodiscard]] std::span<const float> take(const std::string& name,
                                            std::vector<std::int64_t> shape) {
    taken_.insert(name);
    return file_.find<float>(name, shape);
  }

  /// A torch.nn.Conv2d without bias and the BatchNorm2d behind it, folded into one.
  /// @throws data_error as take(), and if a number is not finite
  [[nodiscard]] infer::conv2d take_conv(const std::string& conv, const std::string& norm,
                                        infer::window w, hwc channels, double epsilon,
                                        bool rectify = true) {
    const int in = channels.h, out = channels.w;
    const auto per_channel = [&](const char* name) { return take(norm + "." + name, {out}); };
    const infer::norm_values values{per_channel("weight"), per_channel("bias"),
                                    per_channel("running_mean"), per_channel("running_var"),
                                    epsilon};
    const auto weights = take(conv + ".weight", {out, in, w.height, w.width});
    if (file_.find(norm + ".num_batches_tracked")) taken_.insert(norm + ".num_batches_tracked");
    try {
      return {w, in, weights, values, rectify};
    } catch (const numeric_error&) {
      throw data_error("the tensors " + io::in_quotes(conv + ".weight") + " and " +
                       io::in_quotes(norm + ".*") + " in " + name_ +
                       " were expected to be finite, with variances that are not negative, and "
                       "are not; convert the weights again");
    }
  }

  /// @throws data_error if the file holds a tensor that was not taken
  void require_all_taken(const std::string& network) const {
    for (const io::tensor_entry& t : file_.tensors())
      if (!taken_.contains(t.name))
        throw data_error(name_ + " was expected to hold the tensors of " + network +
                         " only and holds " + io::in_quotes(t.name) +
                         " too; check that it was saved by the same network");
  }

 private:
  torch_weights(io::safetensors_file file, std::string hash, std::string name)
      : file_(std::move(file)), hash_(std::move(hash)), name_(std::move(name)) {}

  io::safetensors_file file_;
  std::string hash_, name_;
  std::set<std::string> taken_;
};

/// A graph from images to features, and one dense layer from features to logits.
class trained_network {
 public:
  /// What a network is made of.
  struct parts {
    std::string name;  ///< as FeatureNetwork has it
    hwc input;         ///< extents of the images that the graph takes
    int features{}, classes{};
    std::vector<float> scale, shift;  ///< per channel, of pixels in [-1, 1]
    infer::graph graph;
    infer::resize_rule resize{infer::resize_rule::half_pixel};
    /// Logits of `probabilities` without the bias, as the Inception score has them.
    bool plain_softmax{false};
  };

  /// Reads the dense layer, `head` + ".weight" and ".bias", and nothing else may be left in the
  /// file. `threads` as in thread_pool. @throws data_error if tensors are missing or others
  trained_network(parts p, torch_weights& weights, const std::string& head, int threads)
      : parts_(std::move(p)),
        hash_(weights.hash()),
        pool_(std::make_unique<thread_pool>(threads)),
        scratch_(static_cast<std::size_t>(pool_->threads())) {
    const auto w = weights.take(head + ".weight", {parts_.classes, parts_.features});
    const auto b = weights.take(head + ".bias", {parts_.classes});
    head_weights_.assign(w.begin(), w.end());
    head_bias_.assign(b.begin(), b.end());
    weights.require_all_taken(parts_.name);
  }

  [[nodiscard]] const std::string& name() const { return parts_.name; }
  [[nodiscard]] const std::string& hash() const { return hash_; }

  /// As FeatureNetwork::evaluate, for images of any extents: others than the network's are resized,
  /// one channel is repeated.
  /// @throws numeric_error if a pixel is not finite, usage_error if the sizes do not fit
  void evaluate(std::span<const float> images, hwc shape, int n, std::span<float> features,
                std::span<float> probabilities) {
    check_sizes(images, shape, n, features, probabilities);
    const infer::bilinear_resize resize(shape, parts_.input.h, parts_.input.w, parts_.resize);
    std::atomic<int> next{0};
    pool_->parallel_for(pool_->threads(), [&](int lane) {
      infer::graph_scratch& scratch = scratch_[static_cast<std::size_t>(lane)];
      std::vector<float> own(static_cast<std::size_t>(parts_.features));
      for (int i = next++; i < n; i = next++) {
        const auto image = part(images, i, shape.size());
        check_pixels(image, i);
        prepare(image, shape, resize, scratch);
        infer::average_pixels(parts_.graph.run({scratch.input.data(), parts_.input}, scratch), own);
        if (!features.empty()) std::ranges::copy(own, part(features, i, parts_.features).begin());
        if (probabilities.empty()) continue;
        const auto row = part(probabilities, i, parts_.classes);
        logits(own, row, !parts_.plain_softmax);
        softmax(row);
      }
    });
  }

  /// The same for images of the network's own extents, as FeatureNetwork has it.
  void evaluate(std::span<const float> images, int n, std::span<float> features,
                std::span<float> probabilities) {
    evaluate(images, parts_.input, n, features, probabilities);
  }

  /// Logits of one feature vector. @throws usage_error if the sizes do not fit
  void logits(std::span<const float> features, std::span<float> out, bool with_bias = true) const {
    expects(features.size() == static_cast<std::size_t>(parts_.features) &&
                out.size() == static_cast<std::size_t>(parts_.classes),
            "logits are computed of one feature vector of the network, one for each of its "
            "classes; check the sizes");
    for (std::size_t k = 0; k < out.size(); ++k) {
      const float* row = head_weights_.data() + k * features.size();
      double sum = with_bias ? double{head_bias_[k]} : 0.0;
      for (std::size_t i = 0; i < features.size(); ++i) sum += double{row[i]} * double{features[i]};
      out[k] = static_cast<float>(sum);
    }
  }

 private:
  template <class T>
  static std::span<T> part(std::span<T> all, int i, int each) {
    return all.subspan(static_cast<std::size_t>(i) * static_cast<std::size_t>(each),
                       static_cast<std::size_t>(each));
  }

  void check_sizes(std::span<const float> images, hwc shape, int n, std::span<const float> features,
                   std::span<const float> probabilities) const {
    const auto fits = [n](std::size_t size, int each) {
      return size == static_cast<std::size_t>(n) * static_cast<std::size_t>(each);
    };
    const int c = parts_.input.c;
    if (n < 0 || shape.h < 1 || shape.w < 1 || (shape.c != 1 && shape.c != c) ||
        !fits(images.size(), shape.size()) ||
        !(features.empty() || fits(features.size(), parts_.features)) ||
        !(probabilities.empty() || fits(probabilities.size(), parts_.classes)))
      throw usage_error(parts_.name + " takes n images of 1 or " + std::to_string(c) +
                        " channels and gives " + std::to_string(parts_.features) +
                        " features and " + std::to_string(parts_.classes) +
                        " probabilities each; check the sizes");
  }

  /// An activation that is max(x, 0) turns NaN into 0, so features would not show it.
  static void check_pixels(std::span<const float> image, int number) {
    for (std::size_t i = 0; i < image.size(); ++i)
      if (!std::isfinite(image[i]))
        throw numeric_error("pixels were expected to be finite and pixel " + std::to_string(i) +
                            " of image " + std::to_string(number) + " is " +
                            std::to_string(image[i]) +
                            "; the generator has diverged, train it with a smaller rate");
  }

  /// Resizes, repeats a single channel and normalises into scratch.input.
  void prepare(std::span<const float> image, hwc shape, const infer::bilinear_resize& resize,
               infer::graph_scratch& scratch) const {
    const std::size_t pixels = static_cast<std::size_t>(parts_.input.pixels());
    const std::size_t c = static_cast<std::size_t>(parts_.input.c), from_c = shape.c;
    const float* from = image.data();
    if (shape.h != parts_.input.h || shape.w != parts_.input.w) {
      scratch.interior[0].resize(std::max(scratch.interior[0].size(), pixels * from_c));
      resize(from, scratch.interior[0].data());
      from = scratch.interior[0].data();
    }
    scratch.input.resize(pixels * c);
    float* to = scratch.input.data();
    for (std::size_t p = 0; p < pixels; ++p, from += from_c)
      for (std::size_t i = 0; i < c; ++i)
        *to++ = parts_.scale[i] * from[from_c == 1 ? 0 : i] + parts_.shift[i];
  }

  static void softmax(std::span<float> row) {
    const float largest = *std::ranges::max_element(row);
    double sum = 0;
    for (float& x : row) sum += x = std::exp(x - largest);
    for (float& x : row) x = static_cast<float>(x / sum);
  }

  parts parts_;
  std::string hash_;
  std::vector<float> head_weights_, head_bias_;
  std::unique_ptr<thread_pool> pool_;
  std::vector<infer::graph_scratch> scratch_;
};

}  // namespace gantry::models
