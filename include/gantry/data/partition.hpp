// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Which worker owns which sample. A partitioner is a policy struct with its own parameters and a
// const member `split`, over the number of samples or over the labels, that returns one list of
// positions per worker and is a pure function of its arguments. A new one needs no change here.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/rng.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/data/shard.hpp"

namespace gantry::inline v0::data {

/// Splits by the number of samples alone.
template <class P>
concept SizePartitioner = requires(const P& policy, std::uint32_t size, int workers,
                                   std::uint64_t seed) {
  { policy.split(size, workers, seed) } -> std::same_as<std::vector<index_list>>;
};

/// Splits by the labels.
template <class P>
concept LabelPartitioner = requires(const P& policy, std::span<const std::uint8_t> labels,
                                    int workers, std::uint64_t seed) {
  { policy.split(labels, workers, seed) } -> std::same_as<std::vector<index_list>>;
};

template <class P>
concept Partitioner = SizePartitioner<P> || LabelPartitioner<P>;

/// Independent and identically distributed: a random permutation cut into blocks whose sizes differ
/// by at most one, the larger ones first.
struct iid {
  [[nodiscard]] std::vector<index_list> split(std::uint32_t size, int workers,
                                              std::uint64_t seed) const {
    const index_list order = random_permutation(size, {.seed = seed, .use = purpose::partition});
    const std::uint32_t count = static_cast<std::uint32_t>(workers);
    std::vector<index_list> parts;
    parts.reserve(count);
    auto first = order.begin();
    for (std::uint32_t w = 0; w < count; ++w) {
      const auto last = first + (size / count + (w < size % count ? 1 : 0));
      parts.emplace_back(first, last);
      first = last;
    }
    return parts;
  }
};

namespace detail {

inline void check_partition_arguments(std::size_t size, int workers) {
  if (workers < 1)
    throw usage_error("a partition needs at least 1 worker but got " + std::to_string(workers) +
                      "; set the number of workers to 1 or more");
  if (size < static_cast<std::size_t>(workers))
    throw usage_error(std::to_string(workers) + " workers need at least as many samples but got " +
                      std::to_string(size) + "; use fewer workers or more data");
  expects(size <= std::numeric_limits<std::uint32_t>::max(),
          "a partition handles at most 4294967295 samples but got more; split the data set first");
}

inline std::vector<index_list> checked(std::vector<index_list> parts, int workers) {
  if (parts.size() != static_cast<std::size_t>(workers))
    throw usage_error("a partitioner has to return one list for each of " +
                      std::to_string(workers) + " workers but returned " +
                      std::to_string(parts.size()) + "; correct its split function");
  for (std::size_t w = 0; w < parts.size(); ++w)
    if (parts[w].empty())
      throw usage_error("every worker needs at least one sample but worker " + std::to_string(w) +
                        " got none; use fewer workers or a more even partitioner");
  return parts;
}

}  // namespace detail

/// Positions of each worker's samples among `size` samples.
/// @throws usage_error for fewer than one worker, or a worker without a sample
template <SizePartitioner P>
std::vector<index_list> partition(std::size_t size, const P& policy, int workers,
                                  std::uint64_t seed) {
  detail::check_partition_arguments(size, workers);
  return detail::checked(policy.split(static_cast<std::uint32_t>(size), workers, seed), workers);
}

/// Positions of each worker's samples, given the label of each sample. @throws usage_error as above
template <Partitioner P>
std::vector<index_list> partition(std::span<const std::uint8_t> labels, const P& policy,
                                  int workers, std::uint64_t seed) {
  if constexpr (LabelPartitioner<P>) {
    detail::check_partition_arguments(labels.size(), workers);
    return detail::checked(policy.split(labels, workers, seed), workers);
  } else {
    return partition(labels.size(), policy, workers, seed);
  }
}

/// One shard per worker; all of them share the set.
/// @throws usage_error as above, and if the partitioner needs labels that the set does not have
template <Partitioner P>
std::vector<shard> partition(const std::shared_ptr<const image_set>& set, const P& policy,
                             int workers, std::uint64_t seed) {
  expects(set != nullptr, "a partition needs a data set but got a null pointer; load it first");
  std::vector<index_list> parts;
  if constexpr (LabelPartitioner<P>) {
    expects(set->labels.size() == set->size(),
            "this partitioner needs one label per image but the data set has not; use a labelled "
            "set or the partitioner iid");
    parts = partition(std::span<const std::uint8_t>(set->labels), policy, workers, seed);
  } else {
    parts = partition(set->size(), policy, workers, seed);
  }
  std::vector<shard> shards;
  shards.reserve(parts.size());
  for (index_list& part : parts) shards.emplace_back(set, std::move(part));
  return shards;
}

/// The same for a set that nobody else needs: `partition(mnist(dir), iid{}, 4, seed)`.
template <Partitioner P>
std::vector<shard> partition(image_set set, const P& policy, int workers, std::uint64_t seed) {
  return partition(std::make_shared<const image_set>(std::move(set)), policy, workers, seed);
}

}  // namespace gantry::data
