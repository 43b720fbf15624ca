// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// dataset.json of StyleGAN's dataset_tool.py: {"labels": [["00000/img00000000.png", 6], ...]} or
// {"labels": null}.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gantry/io/json.hpp"
#include "gantry/io/json_value.hpp"
#include "gantry/io/refuse.hpp"

namespace gantry::inline v0::io {

/// A dataset.json above this is refused before it is read; ImageNet's has half of it.
inline constexpr std::uint64_t most_label_bytes = std::uint64_t{1} << 26;

/// Names of the classes 0 .. largest label: their numbers.
inline std::vector<std::string> numbered_classes(std::span<const std::uint16_t> labels) {
  std::vector<std::string> names;
  if (labels.empty()) return names;
  const std::size_t count = std::size_t{*std::ranges::max_element(labels)} + 1;
  for (std::size_t c = 0; c < count; ++c) names.push_back(std::to_string(c));
  return names;
}

/// A label out of a file. @throws data_error unless it is in 0 .. 65534
inline std::uint16_t checked_label(std::int64_t label, const std::string& name,
                                   const std::string& image) {
  if (label < 0 || label >= std::numeric_limits<std::uint16_t>::max())
    refuse_file(name, "labels from 0 to 65534", std::to_string(label) + " for " + printable(image),
                "number the classes from 0");
  return static_cast<std::uint16_t>(label);
}

/// Gives each of the files its label, or leaves all without if the text says so.
/// @throws data_error if the text is no such JSON, or a file has none or one that is no number
inline void label_like_stylegan(std::span<const std::uint8_t> text, const std::string& name,
                                const std::vector<std::string>& files,
                                std::vector<std::uint16_t>& labels,
                                std::vector<std::string>& class_names) {
  const json::value document =
      json::parse(std::string_view(reinterpret_cast<const char*>(text.data()), text.size()), name);
  const json::value* list = document.is_object() ? document.as_object().find("labels") : nullptr;
  if (list == nullptr || !(list->is_null() || list->is_array()))
    refuse_file(name, "{\"labels\": [[file, label], ...]} or {\"labels\": null}", "something else",
                "write it with StyleGAN's dataset_tool.py or remove it");
  if (list->is_null()) return;
  std::unordered_map<std::string, std::uint16_t> label_of;
  for (const json::value& pair : list->as_array()) {
    const bool fits = pair.is_array() && pair.as_array().size() == 2 &&
                      pair.as_array()[0].is_string() && pair.as_array()[1].is_int();
    if (!fits)
      refuse_file(name, "pairs of a file and the number of its class", "something else",
                  "only class numbers are read as labels, no vectors");
    std::string file = pair.as_array()[0].as_string();
    std::ranges::replace(file, '\\', '/');
    label_of[file] = checked_label(pair.as_array()[1].as_int(), name, file);
  }
  for (const std::string& file : files) {
    const auto at = label_of.find(file);
    if (at == label_of.end())
      refuse_file(name, "a label for each image", "none for " + printable(file),
                  "add it or remove the image");
    labels.push_back(at->second);
  }
  class_names = numbered_classes(labels);
}

}  // namespace gantry::io
