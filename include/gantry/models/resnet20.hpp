// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "gantry/concepts/feature_network.hpp"
#include "gantry/models/trained_network.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0::models {

/// ResNet-20 for CIFAR-10 (He et al., arXiv 1512.03385, section 4.2; shortcuts of option A) with
/// the tensors of github.com/akamaster/pytorch_resnet_cifar10: 64 features behind the global
/// average, 10 classes.
class resnet20 : public trained_network {
 public:
  static constexpr hwc input_shape{32, 32, 3};
  static constexpr int feature_count = 64;
  static constexpr int classes = 10;

  /// @throws data_error if the file is damaged or of another network
  explicit resnet20(const std::filesystem::path& file, int threads = 0)
      : resnet20(torch_weights::read(file), threads) {}

 private:
  resnet20(torch_weights weights, int threads)
      : trained_network(make(weights), weights, "linear", threads) {}

  static infer::block residual(torch_weights& weights, const std::string& name, hwc channels,
                               int stride) {
    constexpr double epsilon = 1e-5;  // of torch.nn.BatchNorm2d
    infer::block b{.branches = std::vector<infer::branch>(1), .residual = true};
    b.branches[0].trunk.push_back(
        weights.take_conv(name + "conv1", name + "bn1", {3, 3, stride, 1, 1}, channels, epsilon));
    b.branches[0].tails.push_back(weights.take_conv(name + "conv2", name + "bn2", {3, 3, 1, 1, 1},
                                                    {channels.w, channels.w, 1}, epsilon, false));
    return b;
  }

  static trained_network::parts make(torch_weights& weights) {
    infer::graph graph;
    graph.add(weights.take_conv("conv1", "bn1", {3, 3, 1, 1, 1}, {3, 16, 1}, 1e-5));
    int in = 16;
    for (int stage = 1; stage <= 3; ++stage)
      for (int i = 0; i < 3; ++i) {
        const int out = 8 << stage;
        graph.add(residual(weights, "layer" + std::to_string(stage) + "." + std::to_string(i) + ".",
                           {in, out, 1}, out > in ? 2 : 1));
        in = out;
      }
    // ((x + 1) / 2 - mean) / deviation, ImageNet's, with which the published weights were trained.
    const float mean[]{0.485f, 0.456f, 0.406f}, deviation[]{0.229f, 0.224f, 0.225f};
    std::vector<float> scale, shift;
    for (int c = 0; c < 3; ++c) {
      scale.push_back(0.5f / deviation[c]);
      shift.push_back((0.5f - mean[c]) / deviation[c]);
    }
    return {.name = "resnet20-cifar10",
            .input = input_shape,
            .features = feature_count,
            .classes = classes,
            .scale = std::move(scale),
            .shift = std::move(shift),
            .graph = std::move(graph)};
  }
};

static_assert(FeatureNetwork<resnet20>, "resnet20 must be what metrics compare images in");

}  // namespace gantry::models
