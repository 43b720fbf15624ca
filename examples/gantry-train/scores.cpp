// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/data/resize.hpp"
#include "gantry/metrics/classifier_score.hpp"
#include "gantry/metrics/frechet.hpp"
#include "gantry/metrics/kernel_distance.hpp"
#include "gantry/metrics/neighbourhoods.hpp"
#include "gantry/train/classifier.hpp"
#include "gantry/train/reference_features.hpp"
#include "gantry/train/shrink.hpp"
#include "gantry/train/train_on_synthetic.hpp"

#include "scores.hpp"

namespace {

using namespace gantry;

using note_sink = std::function<void(const std::string&)>;

template <class Networks>
using classifier_on_cpu = train::classifier<backend::cpu, Networks>;

/// The real images of a run.
const data::image_set& reference_of(const data_sets& data) {
  return data.test ? *data.test : *data.train;
}

/// Own images in the extents of a classifier: a tenth for its accuracy, the others to train on.
struct own_images {
  data::image_set train, test;
};

/// As train::shrink_to brings images to the classifier.
image8 shrunk(const data::image_set& set, std::size_t i, hwc to) {
  const auto pixels = set.image(i);
  const image8 image{set.height, set.width, set.channels, {pixels.begin(), pixels.end()}};
  if (set.height < 2 * to.h && set.width < 2 * to.w) return data::centre_crop(image, to.h, to.w);
  return data::resize(image, to.h, to.w, data::resize_filter::box);
}

own_images divide(const data_sets& data, hwc shape) {
  const data::image_set& all = *data.train;
  const std::string name = "own images " + data.own_sha256.substr(0, 12);
  const data::image_set empty{shape.h, shape.w, shape.c, {}, {}, name, {}};
  own_images parts{empty, empty};
  const auto count = static_cast<std::uint32_t>(all.size());
  const auto order = random_permutation(count, {.use = purpose::evaluation});
  for (std::uint32_t i = 0; i < count; ++i) {
    data::image_set& part = i < count / 10 ? parts.test : parts.train;
    const image8 image = shrunk(all, order[i], shape);
    part.pixels.insert(part.pixels.end(), image.pixels.begin(), image.pixels.end());
    part.labels.push_back(all.labels[order[i]]);
  }
  return parts;
}

template <class Networks>
classifier_on_cpu<Networks> load_classifier(backend::cpu& b, const program_options& o,
                                            const data_sets& data, const note_sink& note) {
  using network = classifier_on_cpu<Networks>;
  if (!trains_classifier(o, data))
    return network(b, train::untrained_weights<Networks>(), "untrained");
  if (is_published(o))
    return network::load_or_train(
        b, *data.published_train, *data.published_test,
        train::classifier_folders(o.data_dir.empty() ? chosen_data(o).default_folder : o.data_dir,
                                  o.outdir),
        note);
  const own_images parts = divide(data, network::input_shape);
  train::classifier_settings settings = Networks::settings;  // for sets of some ten thousands
  settings.passes = static_cast<int>(std::clamp<std::size_t>(
      static_cast<std::size_t>(settings.passes) * 50'000 / parts.train.size(), 1, 100));
  return network::load_or_train(b, parts.train, parts.test,
                                train::classifier_folders(o.data_cache, o.outdir), note, settings);
}

/// Compares generated images with real ones in the features of any network.
class feature_scorer final : public scorer {
 public:
  feature_scorer(std::unique_ptr<feature_extractor> network, const program_options& o, int latent,
                 const data::image_set& real, const std::filesystem::path& cache,
                 const note_sink& note)
      : network_(std::move(network)),
        shape_{real.height, real.width, real.channels},
        latent_(latent),
        with_kid_(std::ranges::count(o.scores, "kid") > 0),
        with_prdc_(std::ranges::count(o.scores, "prdc") > 0),
        reference_(network_->feature_count()) {
    expects(real.size() >= 2, "scores need at least 2 real images; give more images");
    const train::reference_identity identity{
        .data_sha256 = cache.empty() ? "" : train::data_sha256(real),
        .resize = network_->resize(),
        .network = network_->name(),
        .network_sha256 = network_->hash(),
        .images = real.size()};
    real_ = train::load_or_compute_reference(
        cache.empty() ? cache : cache / train::reference_file_name(identity), identity,
        network_->feature_count(), [&](std::span<float> features) { look_at(real, features); },
        note);
    const std::size_t step = chunk * width();
    for (std::span<const float> rest(real_); !rest.empty();) {
      const auto part = rest.first(std::min(step, rest.size()));
      reference_.update(part, part.size() / width());
      rest = rest.subspan(part.size());
    }
    if (!with_kid_ && !with_prdc_) real_ = {};
  }

  train::evaluation evaluate(const sample_function& sample, int count,
                             std::uint64_t seed) override {
    expects(count >= 2, "an evaluation needs at least 2 generated images; raise their number");
    const auto begin = std::chrono::steady_clock::now();
    metrics::feature_statistics generated(network_->feature_count());
    const int classes = network_->classes();
    metrics::classifier_score score(std::max(1, classes));
    std::vector<float> latents, images, probabilities, kept;
    std::vector<float> features(chunk * width());
    for (std::size_t first = 0; first < static_cast<std::size_t>(count); first += chunk) {
      const std::size_t n = std::min(chunk, static_cast<std::size_t>(count) - first);
      latents.resize(n * static_cast<std::size_t>(latent_));
      images.resize(n * static_cast<std::size_t>(shape_.size()));
      probabilities.resize(n * static_cast<std::size_t>(classes));
      const auto seen = std::span(features).first(n * width());
      fill_normal(std::span(latents), {.seed = seed,
                                       .step = static_cast<std::uint32_t>(first / chunk),
                                       .use = purpose::evaluation});
      sample(latents, images);
      network_->evaluate(images, shape_, seen, probabilities);
      generated.update(seen, n);
      if (classes > 0) score.update(probabilities, n);
      if (with_kid_ || with_prdc_) kept.insert(kept.end(), seen.begin(), seen.end());
    }
    train::evaluation result{.fid = metrics::frechet_distance(reference_, generated),
                             .classifier_score = classes > 0
                                                     ? score.value().mean
                                                     : std::numeric_limits<double>::quiet_NaN(),
                             .generated = count,
                             .reference = reference_.count(),
                             .feature_network = network_->name(),
                             .feature_hash = network_->hash()};
    compare_pairs(kept, result);
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return result;
  }
  std::string network_name() const override { return network_->name(); }
  std::string network_hash() const override { return network_->hash(); }
  double accuracy() const override { return network_->accuracy(); }

 private:
  static constexpr std::size_t chunk = 256;

  [[nodiscard]] std::size_t width() const {
    return static_cast<std::size_t>(network_->feature_count());
  }
  void look_at(const data::image_set& real, std::span<float> features) {
    std::vector<float> images;
    for (std::size_t first = 0; first < real.size(); first += chunk) {
      const std::size_t n = std::min(chunk, real.size() - first);
      images.resize(n * real.sample_size());
      std::ranges::transform(real.all_pixels().subspan(first * real.sample_size(), images.size()),
                             images.begin(),
                             [](std::uint8_t x) { return data::pixel_to_float[x]; });
      network_->evaluate(images, shape_, features.subspan(first * width(), n * width()), {});
    }
  }
  void compare_pairs(const std::vector<float>& features, train::evaluation& result) const {
    const metrics::feature_rows real{real_, width()}, generated{features, width()};
    if (with_kid_)
      result.more.emplace_back("kid", metrics::kernel_inception_distance(generated, real).mean);
    if (!with_prdc_) return;
    const auto s = metrics::neighbourhood_scores(real, generated);
    result.more.insert(result.more.end(), {{"precision", s.precision},
                                           {"recall", s.recall},
                                           {"density", s.density},
                                           {"coverage", s.coverage}});
  }

  std::unique_ptr<feature_extractor> network_;
  hwc shape_;
  int latent_;
  bool with_kid_, with_prdc_;
  metrics::feature_statistics reference_;
  std::vector<float> real_;  // features, if figures that compare pairs are asked for
};

template <class Networks>
class classifier_extractor final : public feature_extractor {
  using network_type = classifier_on_cpu<Networks>;

 public:
  classifier_extractor(const program_options& o, const data_sets& data, const note_sink& note)
      : backend_(o.threads), network_(load_classifier<Networks>(backend_, o, data, note)) {}

  int feature_count() const override { return network_type::feature_count; }
  int classes() const override { return std::isnan(accuracy()) ? 0 : network_type::classes; }
  void evaluate(std::span<const float> images, hwc shape, std::span<float> features,
                std::span<float> probabilities) override {
    const auto n = images.size() / static_cast<std::size_t>(shape.size());
    shrunk_.resize(n * static_cast<std::size_t>(network_type::input_shape.size()));
    train::shrink_to<network_type::input_shape>{shape}(images, shrunk_);
    network_.evaluate(shrunk_, static_cast<int>(n), features, probabilities);
  }
  std::string name() const override { return network_.name(); }
  std::string hash() const override { return network_.hash(); }
  double accuracy() const override { return network_.accuracy(); }
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
auto with_networks(const program_options& o, const data_sets& data, F&& use) {
  const bool published = is_published(o);
  const int channels = published ? chosen_data(o).image.c : data.train->channels,
            classes = published ? chosen_data(o).classes : data.classes;
  if (channels == 1) return use.template operator()<train::grey_classifier>();
  if (classes > 10) return use.template operator()<train::colour_classifier<100>>();
  return use.template operator()<train::colour_classifier<10>>();
}

}  // namespace

std::unique_ptr<scorer> make_scorer(const program_options& o, const run_plan& plan,
                                    const data_sets& data,
                                    const std::function<void(const std::string&)>& note,
                                    std::unique_ptr<feature_extractor> network) {
  // A classifier is fast enough to look at the real images again in each run.
  const auto folders = train::classifier_folders("", "");
  const auto cache = network && !folders.empty() ? folders.front() : std::filesystem::path();
  if (!network) network = make_classifier_extractor(o, data, note);
  return std::make_unique<feature_scorer>(std::move(network), o, plan.latent.size(),
                                          reference_of(data), cache, note);
}

std::unique_ptr<feature_extractor> make_classifier_extractor(
    const program_options& o, const data_sets& data,
    const std::function<void(const std::string&)>& note) {
  return with_networks(o, data, [&]<class Networks>() -> std::unique_ptr<feature_extractor> {
    return std::make_unique<classifier_extractor<Networks>>(o, data, note);
  });
}

double accuracy_after_synthetic_training(const program_options& o, const data_sets& data,
                                         std::span<const float> images, gantry::hwc shape,
                                         std::span<const std::uint8_t> labels) {
  return with_networks(o, data, [&]<class Networks>() {
    constexpr hwc extents = Networks::features::input_shape;
    return synthetic_accuracy<Networks>(o, data, as_set<extents>(images, shape, labels));
  });
}
