// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Which samples have a label, and how labels are spread over workers. Only labels are read here, no
// image is.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/data/shard.hpp"

namespace gantry::inline v0::data {

/// Labels are bytes.
inline constexpr std::size_t most_labels = 256;

/// The positions of a set's samples, label by label: two passes over the labels when it is built,
/// and none when a worker asks for its own. A filter of the images by every worker, as programs
/// with one process per label do it, reads all of them as often as there are workers.
class label_index {
 public:
  /// Where the samples of each label begin in a list of positions, and after 255 where it ends.
  using table = std::array<std::uint32_t, most_labels + 1>;

  /// @throws usage_error for no labels, or more than 2^32 - 1
  explicit label_index(std::span<const std::uint8_t> labels) {
    expects(!labels.empty() && labels.size() <= std::numeric_limits<std::uint32_t>::max(),
            "a label index needs 1 to 4294967295 labels but got none or more; use a labelled set");
    for (const std::uint8_t label : labels) ++first_[label + std::size_t{1}];
    for (std::size_t l = 0; l < most_labels; ++l) first_[l + 1] += first_[l];
    list_present();
    table next = first_;
    auto order = std::make_shared<index_list>(labels.size());
    for (std::uint32_t i = 0; i < labels.size(); ++i) (*order)[next[labels[i]]++] = i;
    order_ = *order;
    owner_ = std::move(order);
  }

  /// An index that was made before, as a packed file keeps it: nothing is scanned or copied,
  /// `owner` keeps `order` in place. @throws usage_error if the table does not fit the list
  label_index(const table& first, std::span<const std::uint32_t> order,
              std::shared_ptr<const void> owner)
      : owner_(std::move(owner)), order_(order), first_(first) {
    expects(!order.empty() && first.front() == 0 && first.back() == order.size() &&
                std::ranges::is_sorted(first),
            "a label index needs a table that rises from 0 to the number of samples but got "
            "another one; make the index from the labels");
    list_present();
  }

  /// Positions of the samples with this label, ascending; empty if there are none.
  [[nodiscard]] std::span<const std::uint32_t> of(std::uint8_t label) const {
    return order_.subspan(first_[label], first_[label + std::size_t{1}] - first_[label]);
  }
  /// The positions of all samples, label by label, and where each label begins in them.
  [[nodiscard]] std::span<const std::uint32_t> order() const { return order_; }
  [[nodiscard]] const table& first() const { return first_; }
  /// The labels that at least one sample has, ascending.
  [[nodiscard]] const std::vector<std::uint8_t>& present() const { return present_; }
  /// Number of samples.
  [[nodiscard]] std::size_t size() const { return order_.size(); }

 private:
  void list_present() {
    for (std::size_t l = 0; l < most_labels; ++l)
      if (first_[l + 1] > first_[l]) present_.push_back(static_cast<std::uint8_t>(l));
  }

  std::shared_ptr<const void> owner_;  ///< of what `order_` shows; copies share it
  std::span<const std::uint32_t> order_;
  table first_{};
  std::vector<std::uint8_t> present_;
};

/// The labels of a set. @throws usage_error if it does not have one per image
inline std::span<const std::uint8_t> labels_of(const image_set& set) {
  if (set.labels.size() != set.size() || set.labels.empty())
    throw usage_error("a data set was expected to have one label per image, but " + set.name +
                      " has " + std::to_string(set.labels.size()) + " for " +
                      std::to_string(set.size()) + "; use a labelled set");
  return set.labels;
}

/// The samples of one label. `index` is that of the set's labels.
/// @throws usage_error if no sample has it
inline shard shard_of_label(const std::shared_ptr<const image_set>& set, const label_index& index,
                            std::uint8_t label) {
  const std::span<const std::uint32_t> own = index.of(label);
  if (own.empty())
    throw usage_error("samples of label " + std::to_string(label) +
                      " were asked for but the data set has none; name a label that it has");
  return {set, index_list(own.begin(), own.end())};
}

/// Number of samples of each of `classes` labels. @throws usage_error for a label beyond them
template <class Labels>
std::vector<std::uint64_t> label_histogram(const Labels& labels, std::size_t classes) {
  std::vector<std::uint64_t> counts(classes);
  for (const std::uint8_t label : labels) {
    if (label >= classes)
      throw usage_error("labels below " + std::to_string(classes) + " were expected but one is " +
                        std::to_string(label) + "; give the number of classes of the data set");
    ++counts[label];
  }
  return counts;
}

/// A histogram per shard, of labels 0 .. classes - 1. @throws usage_error for a set without labels,
/// or a label beyond them
inline std::vector<std::vector<std::uint64_t>> label_histograms(std::span<const shard> shards,
                                                                std::size_t classes) {
  std::vector<std::vector<std::uint64_t>> all;
  std::vector<std::uint8_t> labels;
  for (const shard& s : shards) {
    labels.resize(s.size());
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = s.label(i);
    all.push_back(label_histogram(labels, classes));
  }
  return all;
}

/// Kullback-Leibler divergence of one histogram from another in nats, sum p log(p / q) over the
/// labels, each histogram divided by its sum: FeGAN (Guerraoui et al., Middleware 2020) weighs
/// workers by that of theirs from everybody's. 0 for equal proportions, infinite if a label of
/// `local` is missing from `global`.
/// @throws usage_error for histograms of different length, or without samples
inline double label_divergence(std::span<const std::uint64_t> local,
                               std::span<const std::uint64_t> global) {
  double locals = 0, globals = 0, sum = 0;
  for (const std::uint64_t n : local) locals += static_cast<double>(n);
  for (const std::uint64_t n : global) globals += static_cast<double>(n);
  expects(local.size() == global.size() && locals > 0 && globals > 0,
          "a divergence needs two histograms of the same labels with samples in both, but their "
          "lengths differ or one is empty; make both with the same number of classes");
  for (std::size_t l = 0; l < local.size(); ++l) {
    if (local[l] == 0) continue;
    if (global[l] == 0) return std::numeric_limits<double>::infinity();
    const double p = static_cast<double>(local[l]) / locals;
    sum += p * std::log(p * globals / static_cast<double>(global[l]));
  }
  return sum > 0 ? sum : 0;  // rounding alone can make it negative
}

}  // namespace gantry::data
