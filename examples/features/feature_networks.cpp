// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <string_view>
#include <utility>

#include "gantry/base/error.hpp"
#include "gantry/io/json.hpp"
#include "gantry/models/inception_v3.hpp"
#include "gantry/models/resnet20.hpp"

#include "feature_networks.hpp"

namespace {

using namespace gantry;

/// "resnet20:FILE" in two.
struct choice {
  std::string_view network;
  std::filesystem::path file;
};

choice parse(const std::string& text) {
  const auto colon = text.find(':');
  const choice c{std::string_view(text).substr(0, colon),
                 colon == std::string::npos ? "" : text.substr(colon + 1)};
  const bool published =
      c.network == "resnet20" || c.network == "inception" || c.network == "inception-tf1";
  if (text != "lenet" && !(published && !c.file.empty()))
    throw usage_error(
        "a feature network was expected to be lenet, resnet20:FILE, inception:FILE "
        "or inception-tf1:FILE and is " +
        io::in_quotes(text) + "; correct it");
  return c;
}

/// Networks that resize by themselves.
template <class Network>
class resizing_features final : public feature_source {
 public:
  resizing_features(Network network, hwc images) : network_(std::move(network)), images_(images) {
    if (images.h < 1 || images.w < 1 || (images.c != 1 && images.c != 3))
      throw usage_error(network_.name() +
                        " was expected to get images of 1 or 3 channels and is "
                        "to get " +
                        std::to_string(images.c) + "; choose another feature network");
  }
  [[nodiscard]] int feature_count() const override { return Network::feature_count; }
  [[nodiscard]] int classes() const override { return Network::classes; }
  [[nodiscard]] std::string name() const override { return network_.name(); }
  [[nodiscard]] std::string hash() const override { return network_.hash(); }
  void evaluate(std::span<const float> images, int n, std::span<float> features,
                std::span<float> probabilities) override {
    network_.evaluate(images, images_, n, features, probabilities);
  }

 private:
  Network network_;
  hwc images_;
};

template <class Network, class... Arguments>
std::unique_ptr<feature_source> make(hwc images, const Arguments&... arguments) {
  return std::make_unique<resizing_features<Network>>(Network(arguments...), images);
}

}  // namespace

void check_feature_network(const std::string& text) { parse(text); }

std::unique_ptr<feature_source> make_feature_source(const std::string& text, hwc images,
                                                    int threads) {
  const choice c = parse(text);
  if (c.network == "lenet")
    throw usage_error(
        "the feature network lenet needs a published data set to be trained on and "
        "there is none here; use resnet20:FILE or inception:FILE");
  if (c.network == "resnet20") return make<models::resnet20>(images, c.file, threads);
  using models::inception_v3, models::inception_variant;
  const auto rule = c.network == "inception" ? models::infer::resize_rule::half_pixel
                                             : models::infer::resize_rule::corner;
  // A file says by its classes which of the two networks it is of.
  if (models::inception_classes(c.file) == inception_v3<inception_variant::torchvision>::classes)
    return make<inception_v3<inception_variant::torchvision>>(images, c.file, threads, rule);
  return make<inception_v3<>>(images, c.file, threads, rule);
}
