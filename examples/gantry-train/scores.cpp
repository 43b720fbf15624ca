// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <vector>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/metrics/kernel_distance.hpp"
#include "gantry/metrics/neighbourhoods.hpp"
#include "gantry/train/classifier.hpp"
#include "gantry/train/evaluator.hpp"
#include "gantry/train/shrink.hpp"
#include "gantry/train/train_on_synthetic.hpp"

#include "scores.hpp"

namespace {

using namespace gantry;

using note_sink = std::function<void(const std::string&)>;

template <class Networks>
using classifier_on_cpu = train::classifier<backend::cpu, Networks>;

template <class Networks>
classifier_on_cpu<Networks> load_classifier(backend::cpu& b, const program_options& o,
                                            const data_sets& data, const note_sink& note) {
  return classifier_on_cpu<Networks>::load_or_train(
      b, *data.published_train, *data.published_test,
      train::classifier_folders(o.data_dir.empty() ? chosen_data(o).default_folder : o.data_dir,
                                o.outdir),
      note);
}

template <class Networks>
class classifier_scorer final : public scorer {
 public:
  classifier_scorer(const program_options& o, const run_plan& plan, const data_sets& data,
                    const note_sink& note)
      : backend_(o.threads),
        with_kid_(std::ranges::count(o.scores, "kid") > 0),
        with_prdc_(std::ranges::count(o.scores, "prdc") > 0),
        evaluator_(load_classifier<Networks>(backend_, o, data, note), *data.test,
                   {.latent = plan.latent.size(),
                    .observe = [this](std::span<const float> features, bool real) {
                      if (!with_kid_ && !with_prdc_) return;
                      auto& kept = real ? real_ : generated_;
                      kept.insert(kept.end(), features.begin(), features.end());
                    }}) {}

  train::evaluation evaluate(const sample_function& sample, int count,
                             std::uint64_t seed) override {
    generated_.clear();
    train::evaluation result = evaluator_.evaluate(sample, count, seed);
    const auto begin = std::chrono::steady_clock::now();
    constexpr auto features = static_cast<std::size_t>(classifier_on_cpu<Networks>::feature_count);
    const metrics::feature_rows real{real_, features}, generated{generated_, features};
    if (with_kid_)
      result.more.emplace_back("kid", metrics::kernel_inception_distance(generated, real).mean);
    if (with_prdc_) {
      const auto s = metrics::neighbourhood_scores(real, generated);
      result.more.insert(result.more.end(), {{"precision", s.precision},
                                             {"recall", s.recall},
                                             {"density", s.density},
                                             {"coverage", s.coverage}});
    }
    result.seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return result;
  }
  std::string network_name() const override { return evaluator_.network().name(); }
  std::string network_hash() const override { return evaluator_.network().hash(); }
  double accuracy() const override { return evaluator_.network().accuracy(); }

 private:
  backend::cpu backend_;
  bool with_kid_, with_prdc_;
  std::vector<float> real_, generated_;  // features, if figures that compare pairs are asked for
  train::evaluator<backend::cpu, Networks> evaluator_;
};

template <class Networks>
class classifier_extractor final : public feature_extractor {
  using network_type = classifier_on_cpu<Networks>;

 public:
  classifier_extractor(const program_options& o, const data_sets& data, const note_sink& note)
      : backend_(o.threads), network_(load_classifier<Networks>(backend_, o, data, note)) {}

  int feature_count() const override { return network_type::feature_count; }
  int classes() const override { return network_type::classes; }
  void evaluate(std::span<const float> images, hwc shape, std::span<float> features,
                std::span<float> probabilities) override {
    const auto n = images.size() / static_cast<std::size_t>(shape.size());
    shrunk_.resize(n * static_cast<std::size_t>(network_type::input_shape.size()));
    train::shrink_to<network_type::input_shape>{shape}(images, shrunk_);
    network_.evaluate(shrunk_, static_cast<int>(n), features, probabilities);
  }
  std::string name() const override { return network_.name(); }
  std::string hash() const override { return network_.hash(); }
  std::string resize() const override { return "middle below twice the extents, else averages"; }

 private:
  backend::cpu backend_;
  network_type network_;
  std::vector<float> shrunk_;
};

/// Images in [-1, 1] as a labelled set in the extents of the classifier, with 8 bits per channel.
template <hwc Shape>
data::image_set as_set(std::span<const float> images, hwc shape,
                       std::span<const std::uint8_t> labels) {
  std::vector<float> shrunk(labels.size() * static_cast<std::size_t>(Shape.size()));
  train::shrink_to<Shape>{shape}(images, shrunk);
  data::image_set set{Shape.h, Shape.w, Shape.c, {}, {}, "generated images", {}};
  set.labels.assign(labels.begin(), labels.end());
  set.pixels.reserve(shrunk.size());
  for (const float x : shrunk) {
    if (!std::isfinite(x))
      throw numeric_error("generated pixels were expected to be finite and one is " +
                          std::to_string(x) + "; the generator has diverged, train it again");
    set.pixels.push_back(
        static_cast<std::uint8_t>(std::lround(std::clamp((x + 1.0f) * 127.5f, 0.0f, 255.0f))));
  }
  return set;
}

template <class Networks>
double synthetic_accuracy(const program_options& o, const data_sets& data,
                          const data::image_set& s) {
  backend::cpu b(o.threads);
  // As many steps as the classifier of real images took.
  train::classifier_settings settings = Networks::settings;
  settings.passes =
      static_cast<int>(std::max(std::size_t{1}, static_cast<std::size_t>(settings.passes) *
                                                    data.published_train->size() / s.size()));
  return train::train_on_synthetic<Networks>(b, s, *data.published_test, settings);
}

/// Calls use.operator()<Networks>() for the classifier of the data set.
template <class F>
auto with_networks(const program_options& o, F&& use) {
  const published_set& choice = chosen_data(o);
  if (choice.image.c == 1) return use.template operator()<train::grey_classifier>();
  if (choice.classes == 100) return use.template operator()<train::colour_classifier<100>>();
  return use.template operator()<train::colour_classifier<10>>();
}

}  // namespace

std::unique_ptr<scorer> make_scorer(const program_options& o, const run_plan& plan,
                                    const data_sets& data,
                                    const std::function<void(const std::string&)>& note) {
  return with_networks(o, [&]<class Networks>() -> std::unique_ptr<scorer> {
    return std::make_unique<classifier_scorer<Networks>>(o, plan, data, note);
  });
}

std::unique_ptr<feature_extractor> make_classifier_extractor(
    const program_options& o, const data_sets& data,
    const std::function<void(const std::string&)>& note) {
  return with_networks(o, [&]<class Networks>() -> std::unique_ptr<feature_extractor> {
    return std::make_unique<classifier_extractor<Networks>>(o, data, note);
  });
}

double accuracy_after_synthetic_training(const program_options& o, const data_sets& data,
                                         std::span<const float> images, gantry::hwc shape,
                                         std::span<const std::uint8_t> labels) {
  return with_networks(o, [&]<class Networks>() {
    constexpr hwc extents = Networks::features::input_shape;
    return synthetic_accuracy<Networks>(o, data, as_set<extents>(images, shape, labels));
  });
}
