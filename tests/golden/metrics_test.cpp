// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of metrics against NumPy and SciPy on the same features: make_metrics.py wrote the
// file and says what its tensors are.
#include <filesystem>

#include <doctest/doctest.h>

#include "gantry/io/safetensors.hpp"
#include "gantry/metrics/classifier_score.hpp"
#include "gantry/metrics/frechet.hpp"
#include "gantry/metrics/kernel_distance.hpp"
#include "gantry/metrics/neighbourhoods.hpp"

using namespace gantry;
using namespace gantry::metrics;
using doctest::Approx;

namespace {

struct golden {
  io::safetensors_file file = io::safetensors_file::read(std::filesystem::path(GANTRY_SOURCE_DIR) /
                                                         "tests/golden/metrics.safetensors");

  [[nodiscard]] feature_rows rows(const char* name) const {
    return {file.find<float>(name), static_cast<std::size_t>(file.find(name)->shape[1])};
  }
  [[nodiscard]] Approx figure(const char* name, std::size_t i = 0) const {
    return Approx(file.find<double>(name)[i]).epsilon(1e-9);
  }
};

feature_statistics statistics(const feature_rows& rows) {
  feature_statistics s(static_cast<int>(rows.dimension));
  s.update(rows.values, rows.count());
  return s;
}

}  // namespace

TEST_CASE("golden metrics: FID, KID, precision, recall, density, coverage and Inception score") {
  const golden g;
  const feature_rows real = g.rows("real"), generated = g.rows("generated");
  CHECK(frechet_distance(statistics(real), statistics(generated)) == g.figure("fid"));
  CHECK(kernel_distance(real, generated) == g.figure("kernel_distance"));

  // The subsets, too, are those of numpy.random.RandomState.
  const score kid =
      kernel_inception_distance(real, generated, {.subsets = 12, .subset_size = 90, .seed = 2020});
  CHECK(kid.mean == g.figure("kid", 0));
  CHECK(kid.deviation == g.figure("kid", 1));

  const neighbourhood_score n = neighbourhood_scores(real, generated);
  CHECK(n.precision == g.figure("precision_recall", 0));
  CHECK(n.recall == g.figure("precision_recall", 1));
  CHECK(n.density == g.figure("density_coverage", 0));
  CHECK(n.coverage == g.figure("density_coverage", 1));

  const feature_rows p = g.rows("probabilities");
  classifier_score inception(static_cast<int>(p.dimension));
  inception.update(p.values, p.count());
  const score is = inception.value(10);
  CHECK(is.mean == g.figure("is", 0));
  CHECK(is.deviation == g.figure("is", 1));
}
