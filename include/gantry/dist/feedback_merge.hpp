// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/dist/aggregate.hpp"

namespace gantry::inline v0::dist {

/// Brings the feedbacks of workers that share a generated batch together: what the server of MD-GAN
/// does between receiving and its backward passes. The mean is a running sum in float, so the
/// server's memory does not grow with the number of workers; a robust rule keeps all feedbacks of a
/// round.
class feedback_merge {
 public:
  /// `batches` generated batches whose feedback has `length` values each.
  /// @throws usage_error as require()
  feedback_merge(const aggregation& how, int batches, int workers, std::size_t length)
      : how_(how),
        merged_(static_cast<std::size_t>(batches), std::vector<float>(length)),
        received_(received_count(how, workers), std::vector<float>(length)),
        groups_(static_cast<std::size_t>(batches)) {
    require(how, batches, workers);
  }

  /// @throws usage_error if workers that share a batch are fewer than the rule needs
  static void require(const aggregation& how, int batches, int workers) {
    check(how);
    const int smallest = std::max(1, workers / batches);
    if (smallest < how.needs())
      throw usage_error("the aggregation " + std::string(how.name()) + " expected at least " +
                        std::to_string(how.needs()) +
                        " workers to share each generated batch, "
                        "found " +
                        std::to_string(smallest) +
                        "; take more workers, fewer batches or fewer wrong workers");
  }

  /// Bytes that an object allocates.
  static constexpr std::size_t bytes(const aggregation& how, int batches, int workers,
                                     std::size_t length) {
    return (static_cast<std::size_t>(batches) + received_count(how, workers)) * length *
           sizeof(float);
  }

  void begin_round() {
    for (auto& group : groups_) group.clear();
    used_ = 0;
  }

  /// Where the next feedback on batch j is to be received.
  [[nodiscard]] std::span<float> slot(std::size_t j) {
    if (how_.is_robust()) return received_[used_];
    return groups_[j].empty() ? merged_[j] : received_.front();
  }

  /// Counts what `slot(j)` now holds as the feedback of a worker.
  void add(std::size_t j, int worker) { add(j, worker, slot(j)); }
  /// The same for a feedback that lies anywhere.
  void add(std::size_t j, int worker, std::span<const float> arrived) {
    const std::span<float> kept = slot(j);
    if (how_.is_robust() || groups_[j].empty()) {
      if (arrived.data() != kept.data()) std::ranges::copy(arrived, kept.begin());
      used_ += how_.is_robust();
    } else {
      for (std::size_t i = 0; i < arrived.size(); ++i) merged_[j][i] += arrived[i];
    }
    groups_[j].push_back({kept, worker});
  }

  [[nodiscard]] int count(std::size_t j) const { return static_cast<int>(groups_[j].size()); }

  /// The feedback on batch j of all its workers: their sum, or as many times the robust aggregate.
  /// Call once per round. @throws as aggregate
  [[nodiscard]] std::span<float> sum(std::size_t j) {
    if (how_.is_robust()) {
      aggregate(how_, groups_[j], merged_[j]);
      for (float& g : merged_[j]) g *= static_cast<float>(count(j));
    }
    return merged_[j];
  }

 private:
  static constexpr std::size_t received_count(const aggregation& how, int workers) {
    return how.rule == aggregation_rule::mean ? 1 : static_cast<std::size_t>(workers);
  }

  aggregation how_;
  std::vector<std::vector<float>> merged_;    // one per batch
  std::vector<std::vector<float>> received_;  // one, or for robust rules one per worker
  std::vector<std::vector<contribution>> groups_;
  std::size_t used_{};
};

}  // namespace gantry::dist
