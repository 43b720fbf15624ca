// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/io/json.hpp"
#include "gantry/train/classifier_training.hpp"
#include "gantry/train/data_hash.hpp"

namespace gantry::inline v0::train {

/// Where notes for the user go, one sentence each; may be empty.
using note_sink = std::function<void(const std::string&)>;

namespace detail {

inline void note(const note_sink& sink, const std::string& sentence) {
  if (sink) sink(sentence);
}

/// "Fashion-MNIST train" is called fashion-mnist in names of files.
inline std::string file_name_part(std::string_view data_set) {
  if (data_set.ends_with(" train")) data_set.remove_suffix(6);
  std::string part;
  for (const char c : data_set) {
    const bool keep = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
    part += keep ? c : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : '-';
  }
  return part.empty() ? "unnamed" : part;
}

/// Images first, first + 1, ... of a set as floats in [-1, 1].
inline void read_images(const data::image_set& set, std::size_t first, std::size_t count,
                        std::vector<float>& images) {
  const std::size_t size = set.sample_size();
  images.resize(count * size);
  std::ranges::transform(set.all_pixels().subspan(first * size, count * size), images.begin(),
                         [](std::uint8_t pixel) { return data::pixel_to_float[pixel]; });
}

inline std::string percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
  return text;
}

/// What has to agree for a trained classifier to be used again.
inline io::tensor_metadata identity_of(const data::image_set& train, const classifier_settings& s) {
  io::json::object recipe{
      {"passes", s.passes}, {"batch", s.batch}, {"rate", s.rate}, {"seed", std::to_string(s.seed)}};
  if (s.shift > 0) recipe.set("shift", s.shift);
  return {{"training_data_sha256", data_sha256(train)},
          {"training_settings", io::json::dump(recipe)}};
}

}  // namespace detail

/// Folders in which a trained classifier is looked for, and kept by the first that can be written:
/// beside the data, in the user's cache ($XDG_CACHE_HOME/gantry or ~/.cache/gantry), in the run's
/// folder. Empty paths are left out.
inline std::vector<std::filesystem::path> classifier_folders(const std::filesystem::path& data,
                                                             const std::filesystem::path& run) {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value ? value : "");
  };
  std::vector<std::filesystem::path> folders{data};
  // The XDG base directory specification: a relative path is to be ignored.
  if (const auto cache = variable("XDG_CACHE_HOME"); cache.is_absolute())
    folders.push_back(cache / "gantry");
  else if (const auto home = variable("HOME"); home.is_absolute())
    folders.push_back(home / ".cache" / "gantry");
  folders.push_back(run);
  std::erase(folders, std::filesystem::path());
  return folders;
}

/// A trained classifier of images of one size: the feature network of FID and of the classifier
/// score. Its 64 features are the outputs of the last activation before the logits. Figures of
/// different classifiers cannot be compared; `hash` tells which one it was.
template <Backend B, class Networks = grey_classifier>
class classifier {
  using feature_network = typename Networks::features;
  using head_network = typename Networks::head;

 public:
  using weights_type = classifier_weights<Networks>;
  static constexpr hwc input_shape = feature_network::input_shape;
  static constexpr int feature_count = feature_network::output_shape.c;
  static constexpr int classes = head_network::output_shape.c;

  /// `data_set` becomes part of the name; `test` is what `accuracy` is measured on. The backend
  /// must outlive the object.
  classifier(B& b, const weights_type& weights, const std::string& data_set,
             const data::image_set& test)
      : classifier(b, weights, data_set) {
    accuracy_ = measure_accuracy(test);
  }
  /// The same without an accuracy, for weights that no training has touched.
  classifier(B& b, const weights_type& weights, const std::string& data_set)
      : backend_(&b),
        name_("gantry-classifier-" + detail::file_name_part(data_set)),
        hash_(hash_of(weights)),
        feature_params_(b.allocate(weights.features.size())),
        head_params_(b.allocate(weights.head.size())),
        input_(b.allocate(B::storage::layout::elements(input_shape, chunk))),
        feature_tape_(b, chunk),
        head_tape_(b, chunk) {
    b.upload(weights.features, feature_params_.data());
    b.upload(weights.head, head_params_.data());
  }

  /// The classifier that was trained on `train` with these settings, from the first folder that has
  /// it; else trains it, in seconds, and keeps it in the first folder that can be written. A file
  /// that is damaged or belongs to other data is left aside with a note.
  /// @throws usage_error for images of another size than the network's or without labels of its
  /// classes, numeric_error if training fails
  static classifier load_or_train(B& b, const data::image_set& train, const data::image_set& test,
                                  std::span<const std::filesystem::path> cache_folders,
                                  const note_sink& sink = {},
                                  const classifier_settings& settings = Networks::settings) {
    const std::string file =
        "gantry-classifier-" + detail::file_name_part(train.name) + ".safetensors";
    io::tensor_metadata identity = detail::identity_of(train, settings);
    for (const auto& folder : cache_folders)
      if (const auto weights = load(folder / file, identity, sink))
        return {b, *weights, train.name, test};

    detail::note(sink, "training the classifier for FID and classifier score on " +
                           std::to_string(train.size()) + " images of " + train.name);
    const auto begin = std::chrono::steady_clock::now();
    const weights_type weights = classifier_training<B, Networks>(b, train, settings).run();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    classifier trained(b, weights, train.name, test);
    detail::note(sink, "trained the classifier in " + std::to_string(std::lround(seconds.count())) +
                           " s, accuracy on " + std::to_string(test.size()) + " test images " +
                           detail::percent(trained.accuracy()));
    identity.emplace_back("data_set", train.name);
    identity.emplace_back("test_images", std::to_string(test.size()));
    identity.emplace_back("test_accuracy", io::json::dump(trained.accuracy()));
    keep(weights, identity, cache_folders, file, sink);
    return trained;
  }

  /// Features ([n][64]) and class probabilities ([n][classes]) of images ([n][h][w][c] in [-1, 1]);
  /// an empty span is skipped.
  /// @throws numeric_error if a pixel is not finite, usage_error if the sizes do not fit
  void evaluate(std::span<const float> images, int n, std::span<float> features,
                std::span<float> probabilities) {
    const auto fits = [n](std::size_t size, int each) {
      return size == static_cast<std::size_t>(n) * each;
    };
    if (n < 0 || !fits(images.size(), input_shape.size()) ||
        !(features.empty() || fits(features.size(), feature_count)) ||
        !(probabilities.empty() || fits(probabilities.size(), classes)))
      throw usage_error("the classifier takes n " + std::string(Networks::images) +
                        " and gives 64 features and " + std::to_string(classes) +
                        " probabilities each; check the sizes");
    // An activation that is max(x, 0) turns NaN into 0, so features would not show it.
    for (std::size_t i = 0; i < images.size(); ++i)
      if (!std::isfinite(images[i]))
        throw numeric_error("pixels were expected to be finite and pixel " +
                            std::to_string(i % input_shape.size()) + " of image " +
                            std::to_string(i / input_shape.size()) + " is " +
                            std::to_string(images[i]) +
                            "; the generator has diverged, train it with a smaller rate");
    for (int first = 0; first < n; first += chunk) {
      const int count = std::min(chunk, n - first);
      const auto part = [&](auto all, int each) {
        return all.empty() ? all
                           : all.subspan(static_cast<std::size_t>(first) * each,
                                         static_cast<std::size_t>(count) * each);
      };
      run(part(images, input_shape.size()), count, part(features, feature_count),
          part(probabilities, classes));
    }
  }

  /// Share of the test images whose most probable class is the right one; NaN without such images.
  [[nodiscard]] double accuracy() const { return accuracy_; }
  /// SHA-256 of the weights, see hash_of.
  [[nodiscard]] const std::string& hash() const { return hash_; }
  /// "gantry-classifier-<data set>"
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  static constexpr int chunk = 256;

  static std::optional<weights_type> load(const std::filesystem::path& path,
                                          const io::tensor_metadata& identity,
                                          const note_sink& sink) {
    std::error_code unreadable;
    if (!std::filesystem::exists(path, unreadable)) return std::nullopt;
    try {
      weights_type weights = read_classifier<Networks>(path, identity);
      detail::note(sink, "using the trained classifier " + path.string());
      return weights;
    } catch (const data_error& e) {
      detail::note(sink, e.what());
      return std::nullopt;
    }
  }

  static void keep(const weights_type& weights, const io::tensor_metadata& metadata,
                   std::span<const std::filesystem::path> folders, const std::string& file,
                   const note_sink& sink) {
    std::string reasons;
    for (const auto& folder : folders) {
      std::error_code failure;
      std::filesystem::create_directories(folder, failure);
      try {
        write_classifier(folder / file, weights, metadata);
        return detail::note(sink, "kept the classifier in " + (folder / file).string());
      } catch (const error& e) {
        reasons = e.what();
      }
    }
    if (!reasons.empty())
      detail::note(sink, "the classifier could not be kept and will be trained again: " + reasons);
  }

  [[nodiscard]] double measure_accuracy(const data::image_set& test) {
    if (hwc{test.height, test.width, test.channels} != input_shape || test.size() < 1 ||
        test.labels.size() != test.size())
      throw usage_error("the classifier is tested on labelled " + std::string(Networks::images) +
                        "; pass the set as it was read");
    std::vector<float> images, probabilities;
    std::size_t correct = 0;
    for (std::size_t first = 0; first < test.size(); first += chunk) {
      const std::size_t count = std::min<std::size_t>(chunk, test.size() - first);
      detail::read_images(test, first, count, images);
      probabilities.resize(count * classes);
      evaluate(images, static_cast<int>(count), {}, probabilities);
      for (std::size_t i = 0; i < count; ++i) {
        const auto row = std::span(probabilities).subspan(i * classes, classes);
        correct += std::ranges::max_element(row) - row.begin() == test.labels[first + i];
      }
    }
    return static_cast<double>(correct) / static_cast<double>(test.size());
  }

  void run(std::span<const float> images, int n, std::span<float> features,
           std::span<float> probabilities) {
    B& b = *backend_;
    const batch_of<typename B::storage> x{input_.data(), n};
    launch(b, ops::import_samples<input_shape>{}, {images.data(), x});
    feature_net_.forward(b, network_view<B>{feature_params_.span(), {}}, x, feature_tape_,
                         mode::evaluate, {});
    const auto y = feature_tape_.output();
    if (!features.empty())
      launch(b, ops::export_samples<feature_network::output_shape>{}, {y, features.data(), 1.0f});
    if (!probabilities.empty()) {
      head_net_.forward(b, network_view<B>{head_params_.span(), {}}, y, head_tape_, mode::evaluate,
                        {});
      launch(b, ops::export_samples<head_network::output_shape>{},
             {head_tape_.output(), probabilities.data(), 1.0f});
    }
    b.synchronize();
    for (; !probabilities.empty(); probabilities = probabilities.subspan(classes))
      softmax(probabilities.first<classes>());
  }

  static void softmax(std::span<float, classes> row) {
    const float largest = *std::ranges::max_element(row);
    double sum = 0;
    for (float& x : row) sum += x = std::exp(x - largest);
    for (float& x : row) x = static_cast<float>(x / sum);
  }

  B* backend_;
  std::string name_, hash_;
  double accuracy_{std::numeric_limits<double>::quiet_NaN()};
  feature_network feature_net_;
  head_network head_net_;
  typename B::buffer_type feature_params_, head_params_, input_;
  typename feature_network::template tape<B> feature_tape_;
  typename head_network::template tape<B> head_tape_;
};

}  // namespace gantry::train
