// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Ways in which the data of real workers differ: by their labels, by their number, by a list. Each
// is a policy for partition() (data/partition.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/data/label_index.hpp"
#include "gantry/data/shard.hpp"

namespace gantry::inline v0::data {

namespace detail {

/// What partitioners draw for, in the salt of their streams; iid has salt 0.
enum class split_draw : std::uint32_t { order = 1, shares, deal };

inline stream_id split_stream(std::uint64_t seed, split_draw what, std::uint32_t label = 0) {
  return {.seed = seed,
          .step = label,
          .use = purpose::partition,
          .salt = static_cast<std::uint32_t>(what)};
}

/// Logarithm of a Gamma(shape, 1) number (Marsaglia and Tsang, ACM TOMS 26(3), 2000, section 6 for
/// shapes below 1). A logarithm, because numbers of small shapes underflow.
inline double log_gamma_number(random_sequence& draw, double shape) {
  const double boost = shape < 1 ? std::log(static_cast<double>(draw.uniform())) / shape : 0.0;
  const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double radius = std::sqrt(-2 * std::log(static_cast<double>(draw.uniform())));
    const double x = radius * std::cos(2 * std::numbers::pi * static_cast<double>(draw.uniform()));
    const double u = std::log(static_cast<double>(draw.uniform()));
    if (1 + c * x <= 0) continue;
    const double log_v = 3 * std::log1p(c * x), v = std::exp(log_v);
    if (u < 0.5 * x * x + d * (1 - v + log_v)) return std::log(d) + log_v + boost;
  }
}

/// Shares of `count` owners, drawn from a symmetric Dirichlet distribution; their sum is 1.
inline std::vector<double> dirichlet_shares(std::size_t count, double alpha, const stream_id& id) {
  random_sequence draw(id);
  std::vector<double> shares(count);
  for (double& s : shares) s = log_gamma_number(draw, alpha);
  const double most = *std::max_element(shares.begin(), shares.end());
  for (double& s : shares) s = std::exp(s - most);
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& s : shares) s /= sum;
  return shares;
}

/// Whole numbers close to `total` times the shares, with the sum `total`.
inline std::vector<std::size_t> counts_of(std::span<const double> shares, std::size_t total) {
  std::vector<std::size_t> counts;
  double sum = 0;
  std::size_t done = 0;
  for (std::size_t w = 0; w < shares.size(); ++w) {
    sum += shares[w];
    const auto end = static_cast<std::size_t>(std::floor(sum * static_cast<double>(total) + 0.5));
    const std::size_t last = w + 1 == shares.size() ? total : std::clamp(end, done, total);
    counts.push_back(last - done);
    done = last;
  }
  return counts;
}

/// The samples of one label in random order.
inline index_list shuffled(std::span<const std::uint32_t> samples, std::uint64_t seed,
                           std::uint32_t label) {
  index_list order = random_permutation(static_cast<std::uint32_t>(samples.size()),
                                        split_stream(seed, split_draw::order, label));
  for (std::uint32_t& i : order) i = samples[i];
  return order;
}

/// Adds block `b` of `blocks`, whose sizes differ by at most one, to a worker's list.
inline void append_block(index_list& to, const index_list& from, std::size_t b,
                         std::size_t blocks) {
  const auto at = [&](std::size_t block) {
    return from.begin() + static_cast<std::ptrdiff_t>(block * from.size() / blocks);
  };
  to.insert(to.end(), at(b), at(b + 1));
}

inline void expect_room(std::size_t size, int workers, std::uint32_t minimum) {
  const std::uint64_t needed = static_cast<std::uint64_t>(workers) * minimum;
  if (size < needed)
    throw usage_error(std::to_string(workers) + " workers with at least " +
                      std::to_string(minimum) + " samples each need " + std::to_string(needed) +
                      " samples but got " + std::to_string(size) +
                      "; use fewer workers or a smaller minimum");
}

/// Workers below the minimum get the last samples of those who have most.
inline void top_up(std::vector<index_list>& parts, std::uint32_t minimum) {
  const auto fewer = [](const index_list& a, const index_list& b) { return a.size() < b.size(); };
  for (index_list& part : parts)
    while (part.size() < minimum) {
      index_list& largest = *std::max_element(parts.begin(), parts.end(), fewer);
      part.push_back(largest.back());
      largest.pop_back();
    }
}

inline void expect_positive(double value, const char* what) {
  if (!(value > 0) || !std::isfinite(value))
    throw usage_error(std::string(what) + " needs a number above 0 but got " +
                      std::to_string(value) + "; 0.5 is a usual choice");
}

}  // namespace detail

/// Label skew: of each label, the workers get shares drawn from Dirichlet(alpha) (Yurochkin et al.,
/// arXiv 1905.12022). Small alphas make workers of few labels, large ones approach iid. A worker
/// that drew less than the minimum is topped up from the largest.
struct dirichlet {
  double alpha{0.5};
  std::uint32_t minimum{1};  ///< samples that every worker gets

  /// @throws usage_error for an alpha that is not positive, or too few samples for the minimum
  [[nodiscard]] std::vector<index_list> split(std::span<const std::uint8_t> labels, int workers,
                                              std::uint64_t seed) const {
    detail::expect_positive(alpha, "the partitioner dirichlet");
    detail::expect_room(labels.size(), workers, minimum);
    const label_index index(labels);
    std::vector<index_list> parts(static_cast<std::size_t>(workers));
    for (const std::uint8_t label : index.present()) {
      const index_list order = detail::shuffled(index.of(label), seed, label);
      const auto counts = detail::counts_of(
          detail::dirichlet_shares(parts.size(), alpha,
                                   detail::split_stream(seed, detail::split_draw::shares, label)),
          order.size());
      auto first = order.begin();
      for (std::size_t w = 0; w < parts.size(); ++w) {
        const auto last = first + static_cast<std::ptrdiff_t>(counts[w]);
        parts[w].insert(parts[w].end(), first, last);
        first = last;
      }
    }
    detail::top_up(parts, minimum);
    return parts;
  }
};

/// Label skew: the samples in the order of their labels are cut into `shards` pieces per worker,
/// which are dealt at random (McMahan et al., arXiv 1602.05629). Pieces differ by at most one
/// sample; one may cover the end of a label and the beginning of the next.
struct label_shards {
  int shards{2};  ///< per worker

  /// @throws usage_error for less than one shard per worker, or less than one sample per shard
  [[nodiscard]] std::vector<index_list> split(std::span<const std::uint8_t> labels, int workers,
                                              std::uint64_t seed) const {
    expects(shards >= 1,
            "the partitioner shards needs at least 1 shard per worker; 2 is a usual choice");
    const std::uint64_t pieces = static_cast<std::uint64_t>(workers) * std::uint64_t(shards);
    if (labels.size() < pieces)
      throw usage_error(std::to_string(pieces) + " shards need at least as many samples but got " +
                        std::to_string(labels.size()) + "; use fewer shards or workers");
    const label_index index(labels);
    index_list sorted;
    for (const std::uint8_t label : index.present()) {
      const index_list order = detail::shuffled(index.of(label), seed, label);
      sorted.insert(sorted.end(), order.begin(), order.end());
    }
    const index_list dealt = random_permutation(
        static_cast<std::uint32_t>(pieces), detail::split_stream(seed, detail::split_draw::deal));
    std::vector<index_list> parts(static_cast<std::size_t>(workers));
    for (std::size_t p = 0; p < dealt.size(); ++p)
      detail::append_block(parts[p % parts.size()], sorted, dealt[p], dealt.size());
    return parts;
  }
};

/// Label skew: every worker owns exactly `classes` labels, every label has owners, and the numbers
/// of owners differ by at most one; the owners of a label share its samples evenly. With 5 workers
/// and 2 of 10 classes each this is the setting of FedGAN (arXiv 2006.07228).
struct classes_per_worker {
  int classes{2};

  /// @throws usage_error if there are fewer labels than `classes`, if the workers cannot own all
  /// labels, or if a label has fewer samples than owners
  [[nodiscard]] std::vector<index_list> split(std::span<const std::uint8_t> labels, int workers,
                                              std::uint64_t seed) const {
    const label_index index(labels);
    const auto owners = deal(index.present().size(), static_cast<std::size_t>(workers), seed);
    std::vector<index_list> parts(static_cast<std::size_t>(workers));
    for (std::size_t l = 0; l < owners.size(); ++l) {
      const std::uint8_t label = index.present()[l];
      const index_list order = detail::shuffled(index.of(label), seed, label);
      if (order.size() < owners[l].size())
        throw usage_error("label " + std::to_string(label) + " has " +
                          std::to_string(order.size()) + " samples for the " +
                          std::to_string(owners[l].size()) +
                          " workers that own it; use fewer workers or classes per worker");
      for (std::size_t o = 0; o < owners[l].size(); ++o)
        detail::append_block(parts[owners[l][o]], order, o, owners[l].size());
    }
    return parts;
  }

 private:
  /// The owners of each label: each worker takes those that have the fewest owners so far.
  [[nodiscard]] std::vector<std::vector<std::size_t>> deal(std::size_t labels, std::size_t workers,
                                                           std::uint64_t seed) const {
    const auto own = static_cast<std::size_t>(std::max(classes, 0));
    if (own < 1 || own > labels || own * workers < labels)
      throw usage_error("the partitioner classes needs 1 to " + std::to_string(labels) +
                        " classes per worker that make all " + std::to_string(labels) +
                        " classes of the data owned, but got " + std::to_string(classes) +
                        " for each of " + std::to_string(workers) +
                        " workers; change the number of classes or workers");
    std::vector<std::vector<std::size_t>> owners(labels);
    for (std::size_t w = 0; w < workers; ++w) {
      index_list order = random_permutation(
          static_cast<std::uint32_t>(labels),
          detail::split_stream(seed, detail::split_draw::deal, static_cast<std::uint32_t>(w)));
      std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
        return owners[a].size() < owners[b].size();
      });
      for (std::size_t c = 0; c < own; ++c) owners[order[c]].push_back(w);
    }
    return owners;
  }
};

/// Label skew at its end: worker w of n gets the labels w, w + n, w + 2 n ..., so with as many
/// workers as labels each has one (DC-CGAN, arXiv 2102.10485).
struct by_label {
  /// partition() refuses a worker without samples.
  [[nodiscard]] std::vector<index_list> split(std::span<const std::uint8_t> labels, int workers,
                                              std::uint64_t) const {
    const label_index index(labels);
    std::vector<index_list> parts(static_cast<std::size_t>(workers));
    for (const std::uint8_t label : index.present()) {
      const std::span<const std::uint32_t> own = index.of(label);
      index_list& part = parts[label % parts.size()];
      part.insert(part.end(), own.begin(), own.end());
    }
    return parts;
  }
};

/// How unequal the numbers of samples are.
enum class size_law {
  dirichlet,  ///< shares drawn from Dirichlet(parameter)
  power,      ///< share of worker w proportional to (w + 1)^-parameter
};

/// Quantity skew: random samples in unequal numbers. Every worker gets the minimum and a share of
/// the rest.
struct quantity_skew {
  double parameter{0.5};
  size_law law{size_law::dirichlet};
  std::uint32_t minimum{1};  ///< samples that every worker gets

  /// @throws usage_error for a parameter that is not positive, or too few samples for the minimum
  [[nodiscard]] std::vector<index_list> split(std::uint32_t size, int workers,
                                              std::uint64_t seed) const {
    detail::expect_positive(parameter, "the skew of quantities");
    detail::expect_room(size, workers, minimum);
    const auto n = static_cast<std::size_t>(workers);
    const std::vector<double> shares =
        law == size_law::power
            ? power_shares(n)
            : detail::dirichlet_shares(n, parameter,
                                       detail::split_stream(seed, detail::split_draw::shares));
    const auto counts = detail::counts_of(shares, size - n * minimum);
    const index_list order =
        random_permutation(size, detail::split_stream(seed, detail::split_draw::order));
    std::vector<index_list> parts;
    auto first = order.begin();
    for (const std::size_t count : counts) {
      const auto last = first + static_cast<std::ptrdiff_t>(count + minimum);
      parts.emplace_back(first, last);
      first = last;
    }
    return parts;
  }

 private:
  [[nodiscard]] std::vector<double> power_shares(std::size_t workers) const {
    std::vector<double> shares(workers);
    for (std::size_t w = 0; w < workers; ++w)
      shares[w] = std::pow(static_cast<double>(w + 1), -parameter);
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    for (double& s : shares) s /= sum;
    return shares;
  }
};

}  // namespace gantry::data
