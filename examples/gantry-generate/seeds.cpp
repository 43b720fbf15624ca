// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>

#include "gantry/base/error.hpp"

#include "drawing.hpp"
#include "gantry-train/checks.hpp"

using namespace gantry;

std::vector<train::latent_choice> parse_seeds(const std::string& text) {
  std::vector<train::latent_choice> all;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string word = text.substr(at, end - at);
    at = end + 1;
    const std::size_t dash = std::min(word.find('-'), word.size());
    const auto low = number_in<std::uint64_t>(std::string_view(word).substr(0, dash));
    const auto high =
        number_in<std::uint64_t>(std::string_view(word).substr(std::min(dash + 1, word.size())));
    if (dash == word.size()) {
      const auto chosen = train::parse_latent_choices(word);
      all.insert(all.end(), chosen.begin(), chosen.end());
    } else if (!low || !high || *low > *high || *high - *low >= most_images) {
      throw usage_error(
          "a range of seeds was expected to be FIRST-LAST, at most 100000 of them, "
          "and is \"" +
          word + "\"; an example is 0-63");
    } else {
      for (std::uint64_t seed = *low; seed <= *high; ++seed) all.push_back({seed, 0});
    }
    expects(all.size() <= most_images, "at most 100000 images were expected; name fewer seeds");
  }
  return all;
}
