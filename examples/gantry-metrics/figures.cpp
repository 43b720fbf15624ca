// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/metrics/frechet.hpp"
#include "gantry/metrics/kernel_distance.hpp"
#include "gantry/train/classifier.hpp"
#include "gantry/train/reference_features.hpp"

#include "figures.hpp"

namespace {

using namespace gantry;

constexpr std::size_t chunk = 256;

metrics::feature_statistics statistics_of(const metrics::feature_rows& rows) {
  metrics::feature_statistics s(static_cast<int>(rows.dimension));
  s.update(rows.values, rows.count());
  return s;
}

/// Where features are kept, empty for nowhere.
std::filesystem::path cache_file(const metrics_options& o, const std::string& set_hash,
                                 const feature_extractor& network) {
  std::filesystem::path folder = o.cache;
  if (o.cache == "none") return {};
  if (o.cache == "default") {
    const auto folders = train::classifier_folders("", "");
    if (folders.empty()) return {};
    folder = folders.front();
  }
  return folder /
         ("gantry-reference-" + network.name() + "-" + set_hash.substr(0, 12) + ".safetensors");
}

std::string line(const char* name, double value, const std::string& meaning) {
  char text[64];
  std::snprintf(text, sizeof text, "%-12s %14.6f   ", name, value);
  return text + meaning + "\n";
}

std::string line(const char* name, const metrics::score& s, const std::string& meaning) {
  char spread[64];
  std::snprintf(spread, sizeof spread, "+- %.6f; ", s.deviation);
  return line(name, s.mean, spread + meaning);
}

}  // namespace

seen_images look_at(const image_stream& stream, feature_extractor& network, kept_results kept) {
  const auto d = static_cast<std::size_t>(network.feature_count()),
             c = static_cast<std::size_t>(network.classes()),
             size = static_cast<std::size_t>(stream.shape.size());
  seen_images seen;
  seen.features.resize(stream.count * d);
  if (kept.probabilities) seen.probabilities.resize(stream.count * c);
  std::vector<float> images;
  for (std::size_t first = 0; first < stream.count; first += chunk) {
    const std::size_t n = std::min(chunk, stream.count - first);
    images.resize(n * size);
    stream.read(first, images);
    std::span<float> probabilities(seen.probabilities);
    if (kept.probabilities) probabilities = probabilities.subspan(first * c, n * c);
    network.evaluate(images, stream.shape, std::span(seen.features).subspan(first * d, n * d),
                     probabilities);
    if (kept.images) seen.images.insert(seen.images.end(), images.begin(), images.end());
  }
  return seen;
}

std::vector<float> reference_features(const metrics_options& o, const image_stream& real,
                                      const std::string& set_hash, feature_extractor& network,
                                      const note_sink& note) {
  const train::reference_identity identity{.data_sha256 = set_hash,
                                           .resize = network.resize(),
                                           .network = network.name(),
                                           .network_sha256 = network.hash(),
                                           .images = real.count};
  return train::load_or_compute_reference(
      cache_file(o, set_hash, network), identity, network.feature_count(),
      [&](std::span<float> features) {
        std::ranges::copy(look_at(real, network, {}).features, features.begin());
      },
      note);
}

figures compute_figures(const metrics_options& o, const seen_images& scored,
                        const std::vector<float>& real, const feature_extractor& network) {
  const auto d = static_cast<std::size_t>(network.feature_count());
  const metrics::feature_rows generated{scored.features, d}, reference{real, d};
  figures f;
  if (o.wants("fid"))
    f.fid = metrics::frechet_distance(statistics_of(reference), statistics_of(generated));
  if (o.wants("kid"))
    f.kid = metrics::kernel_inception_distance(
        generated, reference, {.subsets = o.kid_subsets, .subset_size = o.kid_size});
  if (o.wants("prdc")) f.prdc = metrics::neighbourhood_scores(reference, generated);
  if (o.wants("is")) {
    metrics::classifier_score score(network.classes());
    score.update(scored.probabilities, generated.count());
    f.is = score.value(o.is_splits);
  }
  return f;
}

std::string table_of(const figures& f) {
  std::string text;
  if (f.fid) text += line("FID", *f.fid, "0 is best");
  if (f.kid) text += line("KID", *f.kid, "0 is best");
  if (f.is) text += line("IS", *f.is, "higher is better");
  if (f.prdc)
    text += line("precision", f.prdc->precision, "1 is best") +
            line("recall", f.prdc->recall, "1 is best") +
            line("density", f.prdc->density, "higher is better") +
            line("coverage", f.prdc->coverage, "1 is best");
  if (f.tstr) text += line("TSTR", *f.tstr, "accuracy on real images");
  return text;
}

io::json::object to_json(const figures& f) {
  io::json::object all;
  const auto with_deviation = [](const metrics::score& s) {
    return io::json::object{{"mean", s.mean}, {"deviation", s.deviation}};
  };
  if (f.fid) all.set("fid", *f.fid);
  if (f.kid) all.set("kid", with_deviation(*f.kid));
  if (f.is) all.set("is", with_deviation(*f.is));
  if (f.prdc) {
    all.set("precision", f.prdc->precision);
    all.set("recall", f.prdc->recall);
    all.set("density", f.prdc->density);
    all.set("coverage", f.prdc->coverage);
  }
  if (f.tstr) all.set("tstr", *f.tstr);
  return all;
}
