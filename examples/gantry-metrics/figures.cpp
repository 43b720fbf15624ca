// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/io/sha256.hpp"
#include "gantry/metrics/feature_sample.hpp"
#include "gantry/metrics/frechet.hpp"
#include "gantry/metrics/kernel_distance.hpp"
#include "gantry/metrics/state_packet.hpp"
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
std::filesystem::path cache_file(const metrics_options& o,
                                 const train::reference_identity& identity) {
  std::filesystem::path folder = o.cache;
  if (o.cache == "none") return {};
  if (o.cache == "default") {
    const auto folders = train::classifier_folders("", "");
    if (folders.empty()) return {};
    folder = folders.front();
  }
  return folder / train::reference_file_name(identity);
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

seen_images look_at(const image_stream& stream, feature_extractor& network, kept_results kept,
                    comm::any_communicator& comm) {
  const auto d = static_cast<std::size_t>(network.feature_count()),
             c = static_cast<std::size_t>(network.classes()),
             size = static_cast<std::size_t>(stream.shape.size());
  metrics::feature_sample features(static_cast<int>(d)),
      probabilities(std::max(1, static_cast<int>(c))), pixels(stream.shape.size());
  std::vector<float> images, seen, classified;
  const auto step = static_cast<std::size_t>(comm.size()) * chunk;
  for (auto first = static_cast<std::size_t>(comm.rank()) * chunk; first < stream.count;
       first += step) {
    const std::size_t n = std::min(chunk, stream.count - first);
    const auto number = static_cast<std::int64_t>(first);
    images.resize(n * size);
    seen.resize(n * d);
    classified.resize(kept.probabilities ? n * c : 0);
    stream.read(first, images);
    network.evaluate(images, stream.shape, seen, classified);
    features.update(seen, number);
    if (kept.probabilities) probabilities.update(classified, number);
    if (kept.images) pixels.update(images, number);
  }
  metrics::gather_states(comm, features, 0);
  if (kept.probabilities) metrics::gather_states(comm, probabilities, 0);
  if (kept.images) metrics::gather_states(comm, pixels, 0);
  if (comm.rank() != 0) return {};
  const auto all = [](const metrics::feature_sample& sample) {
    const auto rows = sample.rows().values;
    return std::vector<float>(rows.begin(), rows.end());
  };
  return {all(features), all(probabilities), all(pixels)};
}

std::vector<float> reference_features(const metrics_options& o, const image_stream& real,
                                      const std::string& set_hash, feature_extractor& network,
                                      comm::any_communicator& comm, const note_sink& note) {
  std::array<float, 1> needed{0};  // whether the cache of rank 0 has none
  const auto announce = [&] {
    if (!comm.broadcast(message::control, needed, 0))
      throw rank_failed("rank 0 has stopped before the real images were compared");
  };
  if (comm.rank() != 0) {
    announce();
    if (needed[0] != 0) look_at(real, network, {}, comm);
    return {};
  }
  const train::reference_identity identity{.data_sha256 = set_hash,
                                           .resize = network.resize(),
                                           .network = network.name(),
                                           .network_sha256 = network.hash(),
                                           .images = real.count};
  std::vector<float> found = train::load_or_compute_reference(
      cache_file(o, identity), identity, network.feature_count(),
      [&](std::span<float> features) {
        needed[0] = 1;
        announce();
        std::ranges::copy(look_at(real, network, {}, comm).features, features.begin());
      },
      note);
  if (needed[0] == 0) announce();
  return found;
}

void require_agreement(comm::any_communicator& comm, const std::string& text) {
  io::sha256 hash;
  hash.update(io::text_bytes(text));
  const auto digest = hash.digest();
  std::vector<float> own, all;
  for (const auto byte : digest) own.push_back(static_cast<float>(byte));
  all.resize(own.size() * static_cast<std::size_t>(comm.size()));
  comm.gather(message::control, own, all, 0);
  for (rank_t r = 1; comm.rank() == 0 && r < comm.size(); ++r)
    if (!std::ranges::equal(
            own, std::span(all).subspan(static_cast<std::size_t>(r) * own.size(), own.size())))
      throw data_error(
          "all ranks were expected to score the same images with the same network as "
          "rank 0, and rank " +
          std::to_string(r) + " has others; give all of them the same files and the same build");
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
  if (o.wants("is") && network.classes() > 0) {
    metrics::classifier_score score(network.classes());
    score.update(scored.probabilities, generated.count());
    f.is = score.value(o.is_splits);
  }
  return f;
}

std::string table_of(const figures& f, int is_splits) {
  std::string text;
  if (f.fid) text += line("FID", *f.fid, "0 is best");
  if (f.kid) text += line("KID", *f.kid, "0 is best");
  if (f.is)
    text += line("IS", *f.is,
                 (is_splits == 1 ? "all as one part" : std::to_string(is_splits) + " parts") +
                     std::string(", higher is better"));
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
