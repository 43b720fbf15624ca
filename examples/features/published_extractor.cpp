// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <span>
#include <utility>

#include "feature_networks.hpp"
#include "published_extractor.hpp"

namespace {

using gantry::hwc;

/// A feature_source is made for images of one size; where others come, it is made again.
class published_extractor final : public feature_extractor {
 public:
  published_extractor(std::string text, hwc shape, int threads)
      : text_(std::move(text)),
        shape_(shape),
        threads_(threads),
        source_(make_feature_source(text_, shape, threads)) {}

  int feature_count() const override { return source_->feature_count(); }
  int classes() const override { return source_->classes(); }
  void evaluate(std::span<const float> images, hwc shape, std::span<float> features,
                std::span<float> probabilities) override {
    if (shape != shape_) {
      source_ = make_feature_source(text_, shape, threads_);
      shape_ = shape;
    }
    const auto n = images.size() / static_cast<std::size_t>(shape.size());
    source_->evaluate(images, static_cast<int>(n), features, probabilities);
  }
  std::string name() const override { return source_->name(); }
  std::string hash() const override { return source_->hash(); }
  std::string resize() const override { return "bilinear, by the network of this name"; }

 private:
  std::string text_;
  hwc shape_;
  int threads_;
  std::unique_ptr<feature_source> source_;
};

}  // namespace

std::unique_ptr<feature_extractor> load_published_network(const std::string& text, hwc shape,
                                                          int threads) {
  return std::make_unique<published_extractor>(text, shape, threads);
}
