// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "gantry/base/error.hpp"
#include "gantry/train/data_hash.hpp"

#include "comparison.hpp"

namespace {

using namespace gantry;

void require_published(const metrics_options& o, const comparison& c, const char* what) {
  if (!c.published)
    throw usage_error(std::string(what) +
                      " was expected with a published set with labels as --data (" +
                      published_names(", ") + ") and came with " + o.data +
                      "; name such a set or other --metrics");
}

std::shared_ptr<const data::image_set> real_images(const metrics_options& o, comparison& c) {
  if (!c.published && !o.uses_classifier())
    return std::make_shared<const data::image_set>(read_image_path(o.data));
  if (!c.published) {
    c.sets = load_data(c.program, c.scored.shape);
    require_features(c.program, c.sets);
    return c.sets.train;
  }
  const bool train = o.split == "train";
  if (!o.uses_classifier() && !o.wants("tstr"))
    return std::make_shared<const data::image_set>(
        chosen_data(c.program).read(o.data_dir, train ? data::split::train : data::split::test));
  // As gantry-train scores: real images go the same way as generated ones.
  const hwc shape = o.checkpoint.empty() ? chosen_data(c.program).image : c.scored.shape;
  require_fitting_images(c.program, shape);
  c.sets = load_data(c.program, shape);
  return train ? c.sets.train : c.sets.test;
}

}  // namespace

comparison read_comparison(const metrics_options& o, int threads) {
  metrics_options own = o;
  own.threads = threads;
  comparison c;
  c.program.data = o.data;
  c.program.data_dir = o.data_dir;
  c.program.threads = threads;
  c.program.features = o.features;
  c.program.quiet = o.quiet;
  c.program.outdir.clear();
  c.published = is_published(c.program);
  if (o.wants("tstr")) require_published(o, c, "--metrics tstr");
  c.scored = o.checkpoint.empty()
                 ? stream_of(std::make_shared<const data::image_set>(read_image_path(o.images)),
                             o.samples, "--samples")
                 : generated_stream(own);
  if (o.wants("tstr") && c.scored.classes == 0)
    throw usage_error(
        "--metrics tstr was expected with a generator that is asked for labels and "
        "came with " +
        c.scored.description + "; leave it out");
  const auto set = real_images(o, c);
  c.real_hash = train::data_sha256(*set);
  c.real = stream_of(set, o.reference, "--reference");
  return c;
}
