// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/feature_network.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/models/trained_network.hpp"
#include "gantry/tensor/shape.hpp"

namespace gantry::inline v0::models {

/// Two networks of one list of tensors (Szegedy et al., arXiv 1512.00567).
///   fid_2015     the one that FID is defined with, "inception-2015-12-05", as pytorch-fid has it:
///                averages leave out what is padded, the last block takes maxima, 1008 classes
///   torchvision  averages count zeros outside of the image, also in the last block, 1000 classes
enum class inception_variant { fid_2015, torchvision };

namespace detail {

/// Reads the blocks of an Inception-v3, named as in torchvision's module.
class inception_builder {
 public:
  inception_builder(torch_weights& weights, inception_variant variant)
      : weights_(&weights),
        average_(variant == inception_variant::fid_2015 ? infer::pool2d::rule::average_inside
                                                        : infer::pool2d::rule::average_padded),
        last_(variant == inception_variant::fid_2015 ? infer::pool2d::rule::largest : average_) {}

  infer::graph build() {
    graph_.add(conv("Conv2d_1a_3x3", 3, 32, {3, 3, 2}));
    graph_.add(conv("Conv2d_2a_3x3", 32, 32, {3, 3}));
    graph_.add(conv("Conv2d_2b_3x3", 32, 64, square(3)));
    graph_.add(infer::pool2d{{3, 3, 2}});
    graph_.add(conv("Conv2d_3b_1x1", 64, 80, {}));
    graph_.add(conv("Conv2d_4a_3x3", 80, 192, {3, 3}));
    graph_.add(infer::pool2d{{3, 3, 2}});
    add_a("Mixed_5b.", 192, 32);
    add_a("Mixed_5c.", 256, 64);
    add_a("Mixed_5d.", 288, 64);
    add_b("Mixed_6a.", 288);
    add_c("Mixed_6b.", 128);
    add_c("Mixed_6c.", 160);
    add_c("Mixed_6d.", 160);
    add_c("Mixed_6e.", 192);
    add_d("Mixed_7a.", 768);
    add_e("Mixed_7b.", 1280, average_);
    add_e("Mixed_7c.", 2048, last_);
    return std::move(graph_);
  }

 private:
  /// The windows that keep an image's extents.
  static constexpr infer::window square(int k) { return {k, k, 1, k / 2, k / 2}; }
  static constexpr infer::window row(int k) { return {1, k, 1, 0, k / 2}; }
  static constexpr infer::window column(int k) { return {k, 1, 1, k / 2, 0}; }

  infer::step conv(const std::string& name, int in, int out, infer::window w) {
    return weights_->take_conv(name + ".conv", name + ".bn", w, {in, out, 1}, 1e-3);
  }
  /// A branch of these steps, of which the last one writes its channels.
  static infer::branch chain(std::vector<infer::step> steps) {
    infer::branch b{std::move(steps), {}};
    b.tails.push_back(std::move(b.trunk.back()));
    b.trunk.pop_back();
    return b;
  }
  infer::branch pooled(const std::string& block, int in, int out, infer::pool2d::rule rule) {
    return chain({infer::pool2d{square(3), rule}, conv(block + "branch_pool", in, out, {})});
  }
  void add(std::vector<infer::branch> branches) { graph_.add(infer::block{std::move(branches)}); }

  void add_a(const std::string& b, int in, int pool) {
    add({chain({conv(b + "branch1x1", in, 64, {})}),
         chain({conv(b + "branch5x5_1", in, 48, {}), conv(b + "branch5x5_2", 48, 64, square(5))}),
         chain({conv(b + "branch3x3dbl_1", in, 64, {}),
                conv(b + "branch3x3dbl_2", 64, 96, square(3)),
                conv(b + "branch3x3dbl_3", 96, 96, square(3))}),
         pooled(b, in, pool, average_)});
  }
  void add_b(const std::string& b, int in) {
    add({chain({conv(b + "branch3x3", in, 384, {3, 3, 2})}),
         chain({conv(b + "branch3x3dbl_1", in, 64, {}),
                conv(b + "branch3x3dbl_2", 64, 96, square(3)),
                conv(b + "branch3x3dbl_3", 96, 96, {3, 3, 2})}),
         chain({infer::pool2d{{3, 3, 2}}})});
  }
  void add_c(const std::string& b, int c) {
    constexpr int in = 768, out = 192;
    add({chain({conv(b + "branch1x1", in, out, {})}),
         chain({conv(b + "branch7x7_1", in, c, {}), conv(b + "branch7x7_2", c, c, row(7)),
                conv(b + "branch7x7_3", c, out, column(7))}),
         chain({conv(b + "branch7x7dbl_1", in, c, {}), conv(b + "branch7x7dbl_2", c, c, column(7)),
                conv(b + "branch7x7dbl_3", c, c, row(7)),
                conv(b + "branch7x7dbl_4", c, c, column(7)),
                conv(b + "branch7x7dbl_5", c, out, row(7))}),
         pooled(b, in, out, average_)});
  }
  void add_d(const std::string& b, int in) {
    add({chain(
             {conv(b + "branch3x3_1", in, 192, {}), conv(b + "branch3x3_2", 192, 320, {3, 3, 2})}),
         chain({conv(b + "branch7x7x3_1", in, 192, {}), conv(b + "branch7x7x3_2", 192, 192, row(7)),
                conv(b + "branch7x7x3_3", 192, 192, column(7)),
                conv(b + "branch7x7x3_4", 192, 192, {3, 3, 2})}),
         chain({infer::pool2d{{3, 3, 2}}})});
  }
  void add_e(const std::string& b, int in, infer::pool2d::rule pool) {
    add({chain({conv(b + "branch1x1", in, 320, {})}),
         {{conv(b + "branch3x3_1", in, 384, {})},
          {conv(b + "branch3x3_2a", 384, 384, row(3)),
           conv(b + "branch3x3_2b", 384, 384, column(3))}},
         {{conv(b + "branch3x3dbl_1", in, 448, {}),
           conv(b + "branch3x3dbl_2", 448, 384, square(3))},
          {conv(b + "branch3x3dbl_3a", 384, 384, row(3)),
           conv(b + "branch3x3dbl_3b", 384, 384, column(3))}},
         pooled(b, in, 192, pool)});
  }

  torch_weights* weights_;
  infer::pool2d::rule average_, last_;
  infer::graph graph_;
};

}  // namespace detail

/// Classes of the network whose weights a file holds, 1000 (torchvision's) or 1008.
/// @throws data_error if the file is damaged or has no such last layer
inline int inception_classes(const std::filesystem::path& file) {
  const auto weights = io::safetensors_file::read(file);
  const io::tensor_entry* bias = weights.find("fc.bias");
  const bool known = bias && (std::ranges::equal(bias->shape, std::array{std::int64_t{1008}}) ||
                              std::ranges::equal(bias->shape, std::array{std::int64_t{1000}}));
  if (!known)
    throw data_error(file.string() +
                     " was expected to hold an Inception-v3 of 1008 or 1000 classes and holds "
                     "another network; write it with examples/python/convert_inception.py");
  return static_cast<int>(bias->shape[0]);
}

/// Inception-v3 from a safetensors file with torchvision's names, which
/// examples/python/convert_inception.py writes: 2048 features behind the global average.
///
/// Images of other extents than 299 x 299 are resized bilinearly. Class probabilities leave out the
/// bias of the last layer, as the code behind the published Inception scores does (Salimans et al.,
/// arXiv 1606.03498).
template <inception_variant Variant = inception_variant::fid_2015>
class inception_v3 : public trained_network {
 public:
  static constexpr hwc input_shape{299, 299, 3};
  static constexpr int feature_count = 2048;
  static constexpr int classes = Variant == inception_variant::fid_2015 ? 1008 : 1000;

  /// @throws data_error if the file is damaged or of another network
  explicit inception_v3(const std::filesystem::path& file, int threads = 0,
                        infer::resize_rule resize = infer::resize_rule::half_pixel)
      : inception_v3(torch_weights::read(file), threads, resize) {}

 private:
  inception_v3(torch_weights weights, int threads, infer::resize_rule resize)
      : trained_network(make(weights, resize), weights, "fc", threads) {}

  static trained_network::parts make(torch_weights& weights, infer::resize_rule resize) {
    std::string name = Variant == inception_variant::fid_2015 ? "inception-v3-fid2015"
                                                              : "inception-v3-torchvision";
    if (resize == infer::resize_rule::corner) name += "-tf1";
    return {.name = std::move(name),
            .input = input_shape,
            .features = feature_count,
            .classes = classes,
            .scale = std::vector<float>(3, 1.0f),
            .shift = std::vector<float>(3, 0.0f),
            .graph = detail::inception_builder(weights, Variant).build(),
            .resize = resize,
            .plain_softmax = true};
  }
};

static_assert(FeatureNetwork<inception_v3<>>,
              "inception_v3 must be what metrics compare images in");

}  // namespace gantry::models
