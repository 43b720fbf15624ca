// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A partitioner by name, for programs and their command lines.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/data/partition.hpp"
#include "gantry/data/partition_file.hpp"
#include "gantry/data/partitioners.hpp"
#include "gantry/data/shard.hpp"

namespace gantry::inline v0::data {

/// One of the library's partitioners, as a value. `minimum` is the least number of samples that
/// every worker gets: dirichlet and quantity_skew see to it, the others refuse to give fewer.
struct partition_spec {
  std::variant<iid, dirichlet, label_shards, classes_per_worker, by_label, quantity_skew, from_file>
      policy{};
  std::uint32_t minimum{1};
};

/// What parse_partition() understands, for the help of programs.
inline constexpr std::string_view partition_forms =
    "iid, dirichlet:ALPHA, classes:K, shards:K, label, quantity:ALPHA, power:EXPONENT or "
    "file:PATH, each with ,min=N at the end or without";

namespace detail {

template <class Number>
Number partition_number(std::string_view text, std::string_view whole) {
  Number value{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size() || !(value > 0) ||
      !(value <= Number{1'000'000'000}))
    throw usage_error("a partition was expected to have a number above 0 in the place of \"" +
                      std::string(text) + "\", found \"" + std::string(whole) + "\"; use " +
                      std::string(partition_forms));
  return value;
}

}  // namespace detail

/// "dirichlet:0.3", "classes:2,min=100", ... @throws usage_error for anything else
inline partition_spec parse_partition(std::string_view text) {
  using detail::partition_number;
  partition_spec spec;
  std::string_view rest = text;
  if (const std::size_t at = rest.rfind(",min="); at != std::string_view::npos) {
    spec.minimum = partition_number<std::uint32_t>(rest.substr(at + 5), text);
    rest = rest.substr(0, at);
  }
  const std::size_t colon = rest.find(':');
  const std::string_view name = rest.substr(0, colon);
  const bool has_value = colon != std::string_view::npos;
  const std::string_view value = has_value ? rest.substr(colon + 1) : std::string_view();
  if (name == "iid" && !has_value) {
    spec.policy = iid{};
  } else if (name == "label" && !has_value) {
    spec.policy = by_label{};
  } else if (name == "dirichlet" && has_value) {
    spec.policy = dirichlet{partition_number<double>(value, text), spec.minimum};
  } else if (name == "classes" && has_value) {
    spec.policy = classes_per_worker{partition_number<int>(value, text)};
  } else if (name == "shards" && has_value) {
    spec.policy = label_shards{partition_number<int>(value, text)};
  } else if ((name == "quantity" || name == "power") && has_value) {
    spec.policy =
        quantity_skew{partition_number<double>(value, text),
                      name == "power" ? size_law::power : size_law::dirichlet, spec.minimum};
  } else if (name == "file" && !value.empty()) {
    spec.policy = from_file{value};
  } else {
    throw usage_error("a partition was expected to be " + std::string(partition_forms) +
                      ", found \"" + std::string(text) + "\"; correct it");
  }
  return spec;
}

/// One shard per worker; all of them share the set.
/// @throws usage_error if the set is too small for the workers, has no labels and the partitioner
/// needs them, or a worker would get fewer samples than the minimum; data_error for a bad file
inline std::vector<shard> partition(const std::shared_ptr<const image_set>& set,
                                    const partition_spec& spec, int workers, std::uint64_t seed) {
  std::vector<shard> shards = std::visit(
      [&](const auto& policy) { return partition(set, policy, workers, seed); }, spec.policy);
  for (std::size_t w = 0; w < shards.size(); ++w)
    if (shards[w].size() < spec.minimum)
      throw usage_error("every worker needs at least " + std::to_string(spec.minimum) +
                        " samples but worker " + std::to_string(w) + " got " +
                        std::to_string(shards[w].size()) +
                        "; use fewer workers, a smaller minimum or a more even partition");
  return shards;
}

}  // namespace gantry::data
