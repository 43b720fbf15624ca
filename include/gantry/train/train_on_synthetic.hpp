// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/concepts/backend.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/train/classifier.hpp"
#include "gantry/train/classifier_networks.hpp"
#include "gantry/train/classifier_training.hpp"

namespace gantry::inline v0::train {

/// Share of the real images in `test` that a classifier gets right which has seen generated images
/// and the labels that they were asked of only: "train on synthetic, test on real" (Esteban et al.,
/// arXiv 1706.02633, section 4.2), the classification accuracy score of Ravuri and Vinyals (arXiv
/// 1905.10887). It is low where labels are not followed and where a class has few kinds of images.
/// @throws usage_error and numeric_error as classifier_training
template <class Networks, Backend B>
double train_on_synthetic(B& b, const data::image_set& synthetic, const data::image_set& test,
                          const classifier_settings& settings = Networks::settings) {
  const auto weights = classifier_training<B, Networks>(b, synthetic, settings).run();
  return classifier<B, Networks>(b, weights, synthetic.name, test).accuracy();
}

}  // namespace gantry::train
