// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The weights of a classifier as a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/io/safetensors.hpp"
#include "gantry/io/sha256.hpp"
#include "gantry/nn/torch_layout.hpp"
#include "gantry/train/classifier_networks.hpp"

namespace gantry::inline v0::train {

/// Parameters of both networks in canonical host memory.
template <class Networks = grey_classifier>
struct classifier_weights {
  using networks = Networks;
  std::vector<float> features = std::vector<float>(Networks::features::param_count);
  std::vector<float> head = std::vector<float>(Networks::head::param_count);
};

namespace detail {

/// Calls f(tensor, its name in a file, all parameters of its network) for every tensor.
template <class Weights, class F>
void for_each_tensor(Weights& weights, F&& f) {
  using networks = typename Weights::networks;
  for (const tensor_info& t : networks::features::tensors())
    f(t, "features." + t.name, weights.features);
  for (const tensor_info& t : networks::head::tensors()) f(t, "head." + t.name, weights.head);
}

/// The tensors of a file, in PyTorch's layouts.
struct torch_tensors {
  std::vector<std::vector<float>> values;
  std::vector<io::tensor_entry> entries;
};

template <class Networks>
torch_tensors to_torch(const classifier_weights<Networks>& weights) {
  torch_tensors all;
  for_each_tensor(
      weights, [&](const tensor_info& t, std::string name, const std::vector<float>& from) {
        // Moving a vector keeps its elements where they are, so entries stay valid while this
        // grows.
        std::vector<float>& to = all.values.emplace_back(t.size());
        nn::to_torch(t, std::span(from).subspan(t.offset, t.size()), std::span<float>(to));
        all.entries.push_back(io::tensor_entry::of<float>(std::move(name), t.shape, to));
      });
  return all;
}

inline std::string hash_of(std::span<const io::tensor_entry> tensors) {
  io::sha256 hash;
  for (const io::tensor_entry& t : tensors) {
    hash.update(io::text_bytes(t.name + " " + t.dtype + " " + io::shape_text(t.shape) + "\n"));
    hash.update(t.data);
  }
  return hash.hex();
}

inline std::string_view find_metadata(const io::tensor_metadata& metadata, std::string_view key) {
  for (const auto& [name, text] : metadata)
    if (name == key) return text;
  return {};
}

inline constexpr std::string_view tensors_key = "tensors_sha256";

}  // namespace detail

/// SHA-256 over the name, dtype, shape and bytes of each tensor as it is in the file; metadata is
/// not part of it.
template <class Networks>
std::string hash_of(const classifier_weights<Networks>& weights) {
  return detail::hash_of(detail::to_torch(weights).entries);
}

/// Writes the weights with PyTorch's names and layouts: the state of a module with the children
/// `features` and `head`, each a torch.nn.Sequential. @throws error if the file cannot be written
template <class Networks>
void write_classifier(const std::filesystem::path& path,
                      const classifier_weights<Networks>& weights, io::tensor_metadata metadata) {
  const detail::torch_tensors tensors = detail::to_torch(weights);
  metadata.emplace_back("format", "pt");
  metadata.emplace_back(detail::tensors_key, detail::hash_of(tensors.entries));
  io::write_safetensors(path, tensors.entries, metadata);
}

/// Reads what write_classifier wrote, if its metadata has all of `expected`.
/// @throws data_error if the file is damaged, of another network or has other metadata
template <class Networks>
classifier_weights<Networks> read_classifier(const std::filesystem::path& path,
                                             const io::tensor_metadata& expected) {
  const auto file = io::safetensors_file::read(path);
  for (const auto& [key, text] : expected) {
    const std::string_view found = detail::find_metadata(file.metadata(), key);
    if (found != text)
      throw data_error("the classifier " + path.string() + " was expected to have the " + key +
                       " " + io::in_quotes(text) + " and has " + io::in_quotes(found) +
                       "; it belongs to other data or settings, move it away");
  }
  if (detail::find_metadata(file.metadata(), detail::tensors_key) !=
      detail::hash_of(file.tensors()))
    throw data_error(
        "the tensors of " + path.string() +
        " were expected to have the SHA-256 in its metadata and have another; the file "
        "is damaged, delete it");
  classifier_weights<Networks> weights;
  detail::for_each_tensor(weights, [&](const tensor_info& t, const std::string& name,
                                       std::vector<float>& to) {
    nn::from_torch(t, file.find<float>(name, t.shape), std::span(to).subspan(t.offset, t.size()));
  });
  return weights;
}

}  // namespace gantry::train
