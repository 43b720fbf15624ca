// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "gantry/data/cifar.hpp"
#include "gantry/data/mnist.hpp"

#include "published_sets.hpp"

namespace {

using namespace gantry;

const std::array<published_set, 4>& all_published() {
  static const std::array<published_set, 4> all{
      {{"fashion-mnist", {28, 28, 1}, 10, data::fashion_mnist, data::debian_fashion_mnist},
       {"mnist", {28, 28, 1}, 10, data::mnist, ""},
       {"cifar10", {32, 32, 3}, 10, data::cifar10, ""},
       {"cifar100",
        {32, 32, 3},
        100,
        [](const std::filesystem::path& dir, data::split part) {
          return data::cifar100(dir, part);
        },
        ""}}};
  return all;
}

}  // namespace

const published_set* find_published(const std::string& name) {
  const auto at = std::ranges::find(all_published(), name, &published_set::name);
  return at == all_published().end() ? nullptr : &*at;
}

std::string published_names(const char* between) {
  std::string names;
  for (const published_set& set : all_published())
    names += (names.empty() ? "" : between) + set.name;
  return names;
}
