// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/concepts/dataset.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/data/shard.hpp"

namespace gantry::inline v0::data {

/// The batches of one worker: its shard over and over, in a new order every epoch.
///
/// Sample r of step s is at position p = s * batch + r of an endless sequence; epoch e = p / m of a
/// shard of m samples is permutation e, drawn from (seed, e, worker). So a batch is a pure function
/// of its arguments: a resumed run sees what an uninterrupted one sees. Batches run across the ends
/// of epochs and may be larger than the shard.
class shuffled_source {
 public:
  shuffled_source(shard samples, std::uint64_t seed, std::uint32_t worker)
      : shard_(std::move(samples)), seed_(seed), worker_(worker) {}

  /// Number of samples in the shard.
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(shard_.size()); }
  [[nodiscard]] const shard& samples() const { return shard_; }

  /// Writes [batch][height][width][channels] floats in [-1, 1].
  /// @throws usage_error if batch < 1 or `out` has another size
  void read(std::uint32_t step, std::span<float> out, int batch) {
    select(step, batch);
    if (out.size() != chosen_.size() * shard_.sample_size())
      throw usage_error("a batch of " + std::to_string(batch) + " needs room for " +
                        std::to_string(chosen_.size() * shard_.sample_size()) +
                        " floats but got room for " + std::to_string(out.size()) +
                        "; match the network's input to the images of " + shard_.set().name);
    float* to = out.data();
    for (const std::uint32_t i : chosen_)
      for (const std::uint8_t pixel : shard_.image(i)) *to++ = pixel_to_float[pixel];
  }

  /// Where the images of the same batch are in the shard, valid until the next call on this source.
  /// @throws usage_error if batch < 1
  [[nodiscard]] std::span<const std::uint32_t> positions(std::uint32_t step, int batch) {
    select(step, batch);
    return chosen_;
  }
  /// Image i of the shard, [height][width][channels]; i < size().
  [[nodiscard]] std::span<const std::uint8_t> image(std::size_t i) const { return shard_.image(i); }

  /// Labels of the same batch, valid until the next call on this source.
  /// @throws usage_error if batch < 1 or the set has no labels
  [[nodiscard]] std::span<const std::uint8_t> labels(std::uint32_t step, int batch) {
    select(step, batch);
    labels_.resize(chosen_.size());
    std::transform(chosen_.begin(), chosen_.end(), labels_.begin(),
                   [&](std::uint32_t i) { return shard_.label(i); });
    return labels_;
  }

  /// How many samples of the shard have each label. @throws usage_error if the set has no labels
  [[nodiscard]] std::array<std::int64_t, 256> label_counts() const {
    std::array<std::int64_t, 256> counts{};
    for (std::size_t i = 0; i < shard_.size(); ++i) ++counts[shard_.label(i)];
    return counts;
  }

 private:
  /// Fills `chosen_` with the positions in the shard that make up a batch.
  void select(std::uint32_t step, int batch) {
    if (batch < 1)
      throw usage_error("a batch needs at least 1 sample but got " + std::to_string(batch) +
                        "; set the batch size to 1 or more");
    const std::size_t count = static_cast<std::size_t>(batch);
    if (chosen_step_ == step && chosen_.size() == count) return;
    chosen_step_.reset();
    chosen_.resize(count);
    const std::uint64_t first = std::uint64_t{step} * count, m = shard_.size();
    for (std::size_t r = 0; r < count; ++r) {
      enter((first + r) / m);
      chosen_[r] = order_[(first + r) % m];
    }
    chosen_step_ = step;
  }

  void enter(std::uint64_t epoch) {
    if (epoch_ == epoch) return;
    order_ =
        random_permutation(static_cast<std::uint32_t>(shard_.size()),
                           {seed_, static_cast<std::uint32_t>(epoch), worker_, purpose::shuffle});
    epoch_ = epoch;
  }

  shard shard_;
  std::uint64_t seed_;
  std::uint32_t worker_;
  index_list order_;  ///< permutation of `epoch_`
  std::optional<std::uint64_t> epoch_;
  index_list chosen_;  ///< batch of `chosen_step_`
  std::optional<std::uint32_t> chosen_step_;
  std::vector<std::uint8_t> labels_;
};

static_assert(BatchSource<shuffled_source>, "a shuffled source has to feed a worker");
static_assert(StoredImageSource<shuffled_source>, "its images may stay on a device");

}  // namespace gantry::data
