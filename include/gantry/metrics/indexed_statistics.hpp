// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include "gantry/base/error.hpp"
#include "gantry/metrics/frechet.hpp"
#include "gantry/metrics/state_packet.hpp"

namespace gantry::inline v0::metrics {

/// Mean and covariance of the features of numbered samples, to the bit the same however the samples
/// are split among workers and in whatever order their states are merged.
///
/// Floating-point sums depend on their order, so the order is fixed by the numbers of the samples:
/// those of a block (256 from a multiple of 256 on) are summed together once all are there, and two
/// neighbouring sums become one where they are the halves of a larger block (512, 1024, ...). A
/// worker that has a contiguous share of n samples keeps about 2 log2(n / 256) matrices and the
/// features of its two blocks that are not full.
class indexed_statistics {
 public:
  static constexpr std::int64_t block = 256;

  /// @throws usage_error for a dimension below 1
  explicit indexed_statistics(int dimension) : dimension_(dimension) {
    expects(dimension >= 1,
            "feature statistics need a dimension of at least 1; pass the length of a feature "
            "vector");
  }

  [[nodiscard]] int dimension() const { return dimension_; }
  /// Number of feature vectors seen.
  [[nodiscard]] std::int64_t count() const {
    std::int64_t all = 0;
    for (const auto& [first, s] : sums_) all += s.statistics.count();
    for (const auto& [number, p] : pending_) all += p.count();
    return all;
  }

  /// Adds the samples first, first + 1, ..., [n][dimension]. @throws usage_error for a size that is
  /// no multiple of the dimension or a sample that is there already
  void update(std::span<const float> features, std::int64_t first) {
    const auto d = static_cast<std::size_t>(dimension_);
    expects(features.size() % d == 0 && first >= 0,
            "feature statistics take whole vectors from number 0 on; pass the network's output");
    while (!features.empty()) {
      const std::int64_t place = first % block;
      const std::size_t n = std::min(features.size() / d, static_cast<std::size_t>(block - place));
      add_rows(first / block, place, features.first(n * d));
      features = features.subspan(n * d);
      first += static_cast<std::int64_t>(n);
    }
  }

  /// Adds what another object has seen. @throws usage_error for another dimension or a sample that
  /// both have
  void merge(const indexed_statistics& other) {
    if (other.dimension_ != dimension_)
      throw usage_error("statistics of dimension " + std::to_string(dimension_) +
                        " cannot take in those of dimension " + std::to_string(other.dimension_) +
                        "; use one feature network for both");
    for (const auto& [first, s] : other.sums_) add_sum(first, s.blocks, s.statistics);
    for (const auto& [number, p] : other.pending_) {
      const auto d = static_cast<std::size_t>(dimension_);
      for (std::size_t i = 0; i < p.present.size(); ++i)
        if (p.present[i])
          add_rows(number, static_cast<std::int64_t>(i), std::span(p.rows).subspan(i * d, d));
    }
  }

  /// Statistics of samples 0 .. count() - 1. @throws usage_error if one is missing
  [[nodiscard]] feature_statistics whole() const {
    feature_statistics all(dimension_);
    std::int64_t next = 0;
    for (const auto& [first, s] : sums_) {
      if (first != next) break;
      all.merge(s.statistics);
      next += s.blocks;
    }
    if (const auto last = pending_.find(next); last != pending_.end()) {
      const auto& there = last->second.present;
      const auto n = static_cast<std::size_t>(std::ranges::find(there, false) - there.begin());
      all.update(std::span(last->second.rows).first(n * static_cast<std::size_t>(dimension_)), n);
    }
    if (all.count() != count())
      throw usage_error("all samples up to the last were expected and sample " +
                        std::to_string(all.count()) +
                        " is missing; merge the states of all workers, of which one may be lost");
    return all;
  }

  [[nodiscard]] std::vector<float> pack() const;
  /// @throws data_error if the packet is none of pack()
  [[nodiscard]] static indexed_statistics unpack(std::span<const float> packet);

 private:
  /// Statistics of 2^i blocks.
  struct sum {
    std::int64_t blocks;
    feature_statistics statistics;
  };
  /// The samples of a block until it is full.
  struct partial {
    std::vector<float> rows;
    std::vector<bool> present;
    [[nodiscard]] std::int64_t count() const { return std::ranges::count(present, true); }
  };

  [[noreturn]] static void refuse_known(std::int64_t number) {
    throw usage_error("sample " + std::to_string(number) +
                      " was expected to be new and is there already; number the samples of all "
                      "workers through");
  }

  /// Whether a sum has one of these blocks.
  [[nodiscard]] bool summed(std::int64_t first, std::int64_t blocks) const {
    auto next = sums_.lower_bound(first);
    if (next != sums_.end() && next->first < first + blocks) return true;
    if (next == sums_.begin()) return false;
    --next;
    return next->first + next->second.blocks > first;
  }

  void add_rows(std::int64_t number, std::int64_t place, std::span<const float> features) {
    const auto d = static_cast<std::size_t>(dimension_), at = static_cast<std::size_t>(place);
    const std::size_t n = features.size() / d;
    if (summed(number, 1)) refuse_known(number * block + place);
    partial& p = pending_[number];
    p.rows.resize(static_cast<std::size_t>(block) * d);
    p.present.resize(static_cast<std::size_t>(block));
    for (std::size_t i = at; i < at + n; ++i) {
      if (p.present[i]) refuse_known(number * block + static_cast<std::int64_t>(i));
      p.present[i] = true;
    }
    std::ranges::copy(features, p.rows.begin() + static_cast<std::ptrdiff_t>(at * d));
    if (p.count() < block) return;
    feature_statistics statistics(dimension_);
    statistics.update(p.rows, static_cast<std::size_t>(block));
    pending_.erase(number);
    add_sum(number, 1, std::move(statistics));
  }

  void add_sum(std::int64_t first, std::int64_t blocks, feature_statistics statistics) {
    const auto part = pending_.lower_bound(first);
    if (summed(first, blocks) || (part != pending_.end() && part->first < first + blocks))
      refuse_known(first * block);
    for (;; blocks *= 2) {
      const bool right = first / blocks % 2 == 1;
      const auto sibling = sums_.find(right ? first - blocks : first + blocks);
      if (sibling == sums_.end() || sibling->second.blocks != blocks) break;
      feature_statistics& other = sibling->second.statistics;
      if (right) std::swap(other, statistics);
      statistics.merge(other);
      first = std::min(first, sibling->first);
      sums_.erase(sibling);
    }
    sums_.emplace(first, sum{blocks, std::move(statistics)});
  }

  int dimension_;
  std::map<std::int64_t, sum> sums_;         // by the number of their first block
  std::map<std::int64_t, partial> pending_;  // by the number of the block
};

inline std::vector<float> indexed_statistics::pack() const {
  packet_writer packet;
  packet.put(std::int64_t{dimension_});
  packet.put(static_cast<std::int64_t>(sums_.size()));
  packet.put(static_cast<std::int64_t>(pending_.size()));
  for (const auto& [first, s] : sums_) {
    packet.put(first);
    packet.put(s.blocks);
    for (int i = 0; i < dimension_; ++i) packet.put(s.statistics.mean()[i]);
    for (int j = 0; j < dimension_; ++j)
      for (int i = j; i < dimension_; ++i) packet.put(s.statistics.scatter()(i, j));
  }
  for (const auto& [number, p] : pending_) {
    packet.put(number);
    for (const bool there : p.present) packet.put(std::int64_t{there});
    packet.put(std::span<const float>(p.rows));
  }
  return std::move(packet).take();
}

inline indexed_statistics indexed_statistics::unpack(std::span<const float> packet) {
  packet_reader reader(packet);
  constexpr std::int64_t most = std::int64_t{1} << 48;
  const auto size = static_cast<std::int64_t>(packet.size());
  indexed_statistics state(static_cast<int>(reader.integer(1, 1 << 20)));
  const std::int64_t d = state.dimension_;
  const std::int64_t sums = reader.integer(0, size), partials = reader.integer(0, size);
  for (std::int64_t s = 0; s < sums; ++s) {
    const std::int64_t first = reader.integer(0, most), blocks = reader.integer(1, most);
    if (!std::has_single_bit(static_cast<std::uint64_t>(blocks)) || first % blocks != 0)
      throw data_error(
          "the packet of a metric's state was expected to hold halves of blocks and "
          "holds others; run the same build on all workers");
    reader.require_left(d * (d + 3));  // two floats for each number
    Eigen::VectorXd mean(d);
    Eigen::MatrixXd scatter = Eigen::MatrixXd::Zero(d, d);
    for (double& x : mean) x = reader.number();
    for (Eigen::Index j = 0; j < d; ++j)
      for (Eigen::Index i = j; i < d; ++i) scatter(i, j) = reader.number();
    state.add_sum(first, blocks, {blocks * block, std::move(mean), std::move(scatter)});
  }
  for (std::int64_t p = 0; p < partials; ++p) {
    const std::int64_t number = reader.integer(0, most);
    std::vector<bool> present;
    for (std::int64_t i = 0; i < block; ++i) present.push_back(reader.integer(0, 1) == 1);
    const auto rows = reader.floats(static_cast<std::size_t>(block * d));
    for (std::int64_t i = 0; i < block; ++i)
      if (present[static_cast<std::size_t>(i)])
        state.add_rows(number, i,
                       rows.subspan(static_cast<std::size_t>(i * d), static_cast<std::size_t>(d)));
  }
  reader.require_end();
  return state;
}

}  // namespace gantry::metrics
