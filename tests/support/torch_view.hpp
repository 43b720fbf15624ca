// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Golden tests: a network's arenas beside the tensors <when>.<letter>.<layer>.<name> of a file that
// PyTorch wrote.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/concepts/network.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/nn/torch_layout.hpp"

#include "support/compare.hpp"

namespace gantry::test {

template <Network Net, Backend B>
class torch_view {
 public:
  using span = std::span<typename B::scalar>;

  torch_view(B& b, const io::safetensors_file& file, std::string letter, network_view<B> values,
             span gradients)
      : backend_(&b),
        file_(&file),
        letter_(std::move(letter)),
        values_(values),
        gradients_(gradients) {}

  /// Sets weights and running statistics.
  void load(const std::string& when) {
    for (const tensor_info& info : Net::tensors()) {
      std::vector<float> storage(info.size());
      nn::from_torch(info, file_->find<float>(key(when, info), info.shape),
                     std::span<float>(storage));
      backend_->upload(storage, arena(info).data() + info.offset);
    }
  }
  outcome compare_values(const std::string& when, tolerance t) const {
    outcome o = outcome::pass();
    for (const tensor_info& info : Net::tensors())
      o = o && compare_tensor(arena(info), when, info, t);
    return o;
  }
  outcome compare_gradients(tolerance t) const {
    outcome o = outcome::pass();
    for (const tensor_info& info : Net::tensors())
      if (!info.is_buffer) o = o && compare_tensor(gradients_, "gradient", info, t);
    return o;
  }

 private:
  [[nodiscard]] span arena(const tensor_info& info) const {
    return info.is_buffer ? values_.buffers : values_.params;
  }
  [[nodiscard]] std::string key(const std::string& when, const tensor_info& info) const {
    return when + "." + letter_ + "." + info.name;
  }
  outcome compare_tensor(span all, const std::string& when, const tensor_info& info,
                         tolerance t) const {
    std::vector<float> storage(info.size()), torch(info.size());
    backend_->download(all.data() + info.offset, storage);
    nn::to_torch(info, std::span<const float>(storage), std::span<float>(torch));
    return compare(std::span<const float>(torch), file_->find<float>(key(when, info), info.shape),
                   t)
        .named(key(when, info));
  }

  B* backend_;
  const io::safetensors_file* file_;
  std::string letter_;
  network_view<B> values_;
  span gradients_;
};

}  // namespace gantry::test
