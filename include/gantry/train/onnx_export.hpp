// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Generators as ONNX models, from the weights in a checkpoint.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/layer.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/onnx.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/nn/chain.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/nn/plan.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0::train {

/// Walks over the layers of a network in its evaluation mode and adds the operators of each. Values
/// are images [n, c, h, w] in between, or rows [n, c] behind a linear layer.
class onnx_writer {
 public:
  onnx_writer(const io::safetensors_file& weights, std::string input, hwc from)
      : weights_(&weights), value_(std::move(input)), shape_(from) {}

  /// One layer; its tensors have names that begin with `prefix`. @throws usage_error for a layer
  /// without an operator
  template <class Layer>
  void add(const Layer& layer, const std::string& prefix) {
    prefix_ = prefix;
    write(layer);
    shape_ = Layer::output_shape(shape_);
  }

  /// The whole model, whose output is images [n, c, h, w].
  std::vector<std::byte> finish(const std::string& input, hwc from) {
    const std::string output = graph_.add({"Identity", {as_images()}, "images"});
    return graph_.model(input, {from.size()}, output, {shape_.c, shape_.h, shape_.w});
  }

 private:
  using numbers = std::vector<std::int64_t>;

  template <class Layer>
  void write(const Layer&) {
    throw usage_error(
        "the layer " + std::string(Layer::name) +
        " was expected to have an ONNX operator and has none here; export a generator "
        "without it (docs/13_checkpoints.md)");
  }
  template <int Out, bias Bias>
  void write(const linear<Out, Bias>&) {
    if (!is_row_) node("Flatten", {value_}, {{"axis", std::int64_t{1}}});
    is_row_ = true;
    weighted("Gemm", Bias == bias::yes, {{"transB", std::int64_t{1}}});
  }
  template <int C, int K, int Stride, int Pad, bias Bias>
  void write(const conv2d<C, K, Stride, Pad, Bias>&) {
    value_ = as_images();
    weighted("Conv", Bias == bias::yes, window(K, Stride, Pad));
  }
  template <int C, int K, int Stride, int Pad, bias Bias, int OutputPad>
  void write(const conv_transpose2d<C, K, Stride, Pad, Bias, OutputPad>&) {
    value_ = as_images();
    auto settings = window(K, Stride, Pad);
    settings.push_back({"output_padding", numbers{OutputPad, OutputPad}});
    weighted("ConvTranspose", Bias == bias::yes, std::move(settings));
  }
  template <int C, bias Bias>
  void write(const upsampled_conv2d<C, Bias>&) {
    enlarge(2);
    weighted("Conv", Bias == bias::yes, window(3, 1, 1));
  }
  template <int Factor>
  void write(const upsample_nearest<Factor>&) {
    enlarge(Factor);
  }
  void write(const batch_norm& layer) {
    value_ = as_images();
    node("BatchNormalization",
         {value_, tensor("weight"), tensor("bias"), tensor("running_mean"), tensor("running_var")},
         {{"epsilon", layer.epsilon}});
  }
  void write(const relu&) { node("Relu", {value_}); }
  void write(const leaky_relu& layer) { node("LeakyRelu", {value_}, {{"alpha", layer.slope}}); }
  void write(const tanh_&) { node("Tanh", {value_}); }
  void write(const sigmoid&) { node("Sigmoid", {value_}); }
  template <int H, int W, int C>
  void write(const reshape<H, W, C>&) {
    value_ = reshaped({H, W, C});
    is_row_ = false;
  }
  template <class Branch, class Shortcut>
  void write(const residual<Branch, Shortcut>& block) {
    value_ = as_images();
    const std::string prefix = prefix_, begin = value_;
    const hwc shape = shape_;
    add_all<typename Branch::pack>(block.branch, prefix + "branch.");
    const std::string branch = as_images();
    value_ = begin;
    shape_ = shape;
    add_all<typename Shortcut::pack>(block.shortcut, prefix + "shortcut.");
    node("Add", {branch, as_images()});
    shape_ = shape;  // add() moves it on
  }
  template <class Pack>
  void add_all(const auto& layers, const std::string& prefix) {
    nn::for_each_index<Pack::depth>(
        [&]<std::size_t I>() { add(nn::get<I>(layers), prefix + std::to_string(I) + "."); });
  }

  void node(const std::string& op, std::vector<std::string> inputs,
            std::vector<io::onnx::attribute> attributes = {}) {
    value_ = graph_.add({op, std::move(inputs), {}, std::move(attributes)});
  }
  void weighted(const std::string& op, bool has_bias, std::vector<io::onnx::attribute> attributes) {
    std::vector<std::string> inputs{value_, tensor("weight")};
    if (has_bias) inputs.push_back(tensor("bias"));
    node(op, std::move(inputs), std::move(attributes));
  }
  static std::vector<io::onnx::attribute> window(int kernel, int stride, int pad) {
    return {{"kernel_shape", numbers{kernel, kernel}},
            {"strides", numbers{stride, stride}},
            {"pads", numbers{pad, pad, pad, pad}}};
  }
  void enlarge(int factor) {
    value_ = as_images();
    const auto f = static_cast<float>(factor);
    const std::string scales = "scales_" + std::to_string(constants_++);
    graph_.constant(scales, {4}, std::array{1.0f, 1.0f, f, f});
    node("Resize", {value_, "", scales},
         {{"mode", std::string("nearest")},
          {"coordinate_transformation_mode", std::string("asymmetric")},
          {"nearest_mode", std::string("floor")}});
  }
  /// The current value as images of the current shape.
  std::string as_images() { return is_row_ ? reshaped(shape_) : value_; }
  std::string reshaped(hwc to) {
    is_row_ = false;
    const std::string extents = "extents_" + std::to_string(constants_++);
    graph_.constant(extents, {-1, to.c, to.h, to.w});
    return graph_.add({"Reshape", {value_, extents}, {}});
  }
  /// A tensor of the current layer, as it is in the file.
  std::string tensor(const char* name) {
    const std::string full = prefix_ + name;
    const auto values = weights_->find<float>(full);
    return graph_.constant(full, weights_->find(full)->shape, values);
  }

  const io::safetensors_file* weights_;
  io::onnx::graph graph_;
  std::string value_, prefix_;
  hwc shape_;
  bool is_row_{true};  ///< latents are rows
  int constants_{};
};

/// Writes a generator with the weights of a file in PyTorch's names and layouts (write_network's)
/// as an ONNX model from latents [n, latent] to images [n, c, h, w], in its evaluation mode.
/// @throws usage_error if a layer has no operator, data_error if the weights are of another
/// network, io::write_error
template <class Net>
void export_onnx(const std::filesystem::path& weights, const std::filesystem::path& model) {
  const auto file = io::safetensors_file::read(weights);
  for (const tensor_info& info : Net::tensors()) (void)file.find<float>(info.name, info.shape);
  onnx_writer writer(file, "latents", Net::input_shape);
  const Net net{};
  std::size_t number = 0;
  nn::for_each_index<Net::depth>([&]<std::size_t I>() {
    const auto& layer = net.template layer<I>();
    writer.add(layer, std::to_string(number) + ".");
    number += nn::is_numbered<std::remove_cvref_t<decltype(layer)>> ? 1 : 0;
  });
  io::write_file_atomic(model, writer.finish("latents", Net::input_shape));
}

}  // namespace gantry::train
