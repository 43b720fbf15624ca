// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/data/image_set.hpp"

namespace gantry::inline v0::data {

/// Positions of samples in a data set.
using index_list = std::vector<std::uint32_t>;

/// The samples that one worker owns: some positions of a set in memory. Copies share both.
class shard {
 public:
  /// @throws usage_error for no set, no samples, or positions outside the set
  shard(std::shared_ptr<const image_set> set, index_list indices)
      : set_(std::move(set)), indices_(std::make_shared<const index_list>(std::move(indices))) {
    expects(set_ != nullptr, "a shard needs a data set but got a null pointer; load the set first");
    expects(!indices_->empty(),
            "a shard needs at least one sample but got none; use fewer workers or more data");
    expects(std::all_of(indices_->begin(), indices_->end(),
                        [size = set_->size()](std::uint32_t i) { return i < size; }),
            "a shard got the position of a sample beyond the end of its data set; partition this "
            "set and not another one");
  }

  [[nodiscard]] std::size_t size() const { return indices_->size(); }
  [[nodiscard]] int height() const { return set_->height; }
  [[nodiscard]] int width() const { return set_->width; }
  [[nodiscard]] int channels() const { return set_->channels; }
  [[nodiscard]] std::size_t sample_size() const { return set_->sample_size(); }
  [[nodiscard]] const image_set& set() const { return *set_; }
  [[nodiscard]] const index_list& indices() const { return *indices_; }

  /// Image i of the shard, [height][width][channels]; i < size().
  [[nodiscard]] std::span<const std::uint8_t> image(std::size_t i) const {
    return set_->image((*indices_)[i]);
  }
  /// Label of image i of the shard; i < size(). @throws usage_error if the set has no labels
  [[nodiscard]] std::uint8_t label(std::size_t i) const {
    expects(set_->labels.size() == set_->size(),
            "labels were asked for but the data set does not have one per image; use a labelled "
            "set or an unconditional network");
    return set_->labels[(*indices_)[i]];
  }

 private:
  std::shared_ptr<const image_set> set_;
  std::shared_ptr<const index_list> indices_;
};

}  // namespace gantry::data
