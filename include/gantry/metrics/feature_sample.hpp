// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/metrics/feature_rows.hpp"
#include "gantry/metrics/state_packet.hpp"

namespace gantry::inline v0::metrics {

/// The features (or class probabilities) themselves of numbered samples, for metrics that compare
/// pairs. Workers add the samples that are theirs under the numbers that these have in the whole;
/// merged in any order, rows() are those of the whole.
class feature_sample {
 public:
  /// @throws usage_error for a width below 1
  explicit feature_sample(int width) : width_(static_cast<std::size_t>(width)) {
    expects(width >= 1, "a sample of features needs a width of at least 1; pass the network's");
  }

  [[nodiscard]] int width() const { return static_cast<int>(width_); }
  /// Number of samples seen.
  [[nodiscard]] std::int64_t count() const {
    std::size_t numbers = 0;
    for (const auto& [first, values] : parts_) numbers += values.size();
    return static_cast<std::int64_t>(numbers / width_);
  }

  /// Adds the samples first, first + 1, ..., [n][width]. @throws usage_error for a size that is no
  /// multiple of the width, or a sample that is there already
  void update(std::span<const float> rows, std::int64_t first) {
    expects(rows.size() % width_ == 0 && first >= 0,
            "a sample of features takes whole rows from number 0 on; pass the network's output");
    if (rows.empty()) return;
    const auto next = parts_.lower_bound(first);
    const auto end = first + static_cast<std::int64_t>(rows.size() / width_);
    const bool behind = next != parts_.begin() && end_of(*std::prev(next)) > first;
    if (behind || (next != parts_.end() && next->first < end))
      throw usage_error("samples " + std::to_string(first) + " to " + std::to_string(end - 1) +
                        " were expected to be new and some are there already; number the samples "
                        "of all workers through");
    const bool extends = next != parts_.begin() && end_of(*std::prev(next)) == first;
    const auto part =
        extends ? std::prev(next) : parts_.emplace_hint(next, first, std::vector<float>());
    part->second.insert(part->second.end(), rows.begin(), rows.end());
    if (next == parts_.end() || next->first != end) return;
    part->second.insert(part->second.end(), next->second.begin(), next->second.end());
    parts_.erase(next);
  }

  /// Adds what another object has seen. @throws usage_error for another width or a sample that both
  /// have
  void merge(const feature_sample& other) {
    if (other.width_ != width_)
      throw usage_error("a sample of width " + std::to_string(width_) +
                        " cannot take in one of width " + std::to_string(other.width_) +
                        "; use one feature network for both");
    for (const auto& [first, rows] : other.parts_) update(rows, first);
  }

  /// Samples 0 .. count() - 1, valid until the next change. @throws usage_error if one is missing
  [[nodiscard]] feature_rows rows() const {
    if (parts_.empty()) return {{}, width_};
    const auto& [first, values] = *parts_.begin();
    const std::int64_t missing = first > 0 ? 0 : end_of(*parts_.begin());
    if (first > 0 || parts_.size() > 1)
      throw usage_error("all samples up to the last were expected and sample " +
                        std::to_string(missing) +
                        " is missing; merge the states of all workers, of which one may be lost");
    return {values, width_};
  }

  [[nodiscard]] std::vector<float> pack() const {
    packet_writer packet;
    packet.put(static_cast<std::int64_t>(width_));
    packet.put(static_cast<std::int64_t>(parts_.size()));
    for (const auto& [first, values] : parts_) {
      packet.put(first);
      packet.put(static_cast<std::int64_t>(values.size() / width_));
      packet.put(std::span<const float>(values));
    }
    return std::move(packet).take();
  }
  /// @throws data_error if the packet is none of pack()
  [[nodiscard]] static feature_sample unpack(std::span<const float> packet) {
    packet_reader reader(packet);
    feature_sample sample(static_cast<int>(reader.integer(1, std::numeric_limits<int>::max())));
    const auto parts = reader.integer(0, static_cast<std::int64_t>(packet.size()));
    for (std::int64_t part = 0; part < parts; ++part) {
      const auto first = reader.integer(0, std::numeric_limits<std::int64_t>::max() / 2);
      const auto rows = reader.integer(1, static_cast<std::int64_t>(reader.left() / sample.width_));
      sample.update(reader.floats(static_cast<std::size_t>(rows) * sample.width_), first);
    }
    reader.require_end();
    return sample;
  }

 private:
  using part_map = std::map<std::int64_t, std::vector<float>>;  // by the number of the first sample

  [[nodiscard]] std::int64_t end_of(const part_map::value_type& part) const {
    return part.first + static_cast<std::int64_t>(part.second.size() / width_);
  }

  std::size_t width_;
  part_map parts_;  // neighbours are joined
};

}  // namespace gantry::metrics
