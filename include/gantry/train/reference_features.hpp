// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Features of the images that others are compared with, kept in a file so that a data set goes
// through a network once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/train/classifier.hpp"
#include "gantry/train/classifier_weights.hpp"

namespace gantry::inline v0::train {

/// What features depend on; the manifest of the file, in its metadata.
struct reference_identity {
  std::string data_sha256;     ///< of pixels and labels, see data_sha256()
  std::string resize;          ///< how images came to the extents of the network
  std::string network;         ///< its name
  std::string network_sha256;  ///< of its weights
  std::size_t images{};        ///< from the first of the set on

  [[nodiscard]] io::tensor_metadata metadata() const {
    return {{"data_sha256", data_sha256},
            {"resize", resize},
            {"network", network},
            {"network_sha256", network_sha256},
            {"images", std::to_string(images)}};
  }
};

/// What programs call the file in their cache.
inline std::string reference_file_name(const reference_identity& identity) {
  return "gantry-reference-" + identity.network + "-" + identity.data_sha256.substr(0, 12) +
         ".safetensors";
}

namespace detail {

/// @throws data_error if the file is damaged or its manifest says something else
inline std::vector<float> read_reference(const std::filesystem::path& path,
                                         const reference_identity& identity, int dimension) {
  const auto file = io::safetensors_file::read(path);
  for (const auto& [key, text] : identity.metadata()) {
    const std::string_view found = find_metadata(file.metadata(), key);
    if (found != text)
      throw data_error("the reference features " + path.string() + " were expected to have the " +
                       key + " " + io::in_quotes(text) + " and have " + io::in_quotes(found) +
                       "; they are computed again");
  }
  if (find_metadata(file.metadata(), tensors_key) != hash_of(file.tensors()))
    throw data_error("the reference features " + path.string() +
                     " were expected to have the SHA-256 in their metadata and have another; they "
                     "are computed again");
  const std::vector<std::int64_t> shape{static_cast<std::int64_t>(identity.images), dimension};
  const auto values = file.find<float>("features", shape);
  return {values.begin(), values.end()};
}

inline void write_reference(const std::filesystem::path& path, const reference_identity& identity,
                            std::span<const float> features, int dimension) {
  const std::vector<io::tensor_entry> tensors{io::tensor_entry::of<float>(
      "features", {static_cast<std::int64_t>(identity.images), dimension}, features)};
  io::tensor_metadata metadata = identity.metadata();
  metadata.emplace_back(tensors_key, hash_of(tensors));
  io::write_safetensors(path, tensors, metadata);
}

}  // namespace detail

/// The features of the reference images, [images][dimension]: from the file, if it is whole and its
/// hashes of data and network, its resize rule and its number of images are those asked for, else
/// from compute(features), which fills them in, and then kept in the file. An empty path keeps
/// nothing. `sink` gets a sentence about a file that did not fit or could not be written.
inline std::vector<float> load_or_compute_reference(
    const std::filesystem::path& path, const reference_identity& identity, int dimension,
    const std::function<void(std::span<float>)>& compute, const note_sink& sink = {}) {
  std::error_code unreadable;
  if (!path.empty() && std::filesystem::exists(path, unreadable)) try {
      std::vector<float> kept = detail::read_reference(path, identity, dimension);
      detail::note(sink, "using the reference features " + path.string());
      return kept;
    } catch (const data_error& e) {
      detail::note(sink, e.what());
    }
  std::vector<float> features(identity.images * static_cast<std::size_t>(dimension));
  compute(features);
  if (path.empty()) return features;
  try {
    std::error_code failure;
    std::filesystem::create_directories(path.parent_path(), failure);
    detail::write_reference(path, identity, features, dimension);
    detail::note(sink, "kept the reference features in " + path.string());
  } catch (const error& e) {
    detail::note(sink, std::string("the reference features could not be kept: ") + e.what());
  }
  return features;
}

}  // namespace gantry::train
