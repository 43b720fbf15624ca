// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <set>

#include <doctest/doctest.h>

#include "gantry/data/partition_spec.hpp"
#include "gantry/data/partitioners.hpp"

#include "unit/data/idx_files.hpp"

using gantry::data_error;
using gantry::usage_error;
using namespace gantry::data;
using doctest::Contains;

namespace {

/// n samples whose labels go round through `classes`, and whose pixel is their position modulo 251.
std::shared_ptr<const image_set> labelled(std::uint32_t n, std::uint32_t classes) {
  image_set set{1, 1, 1, {}, {}, "labelled"};
  for (std::uint32_t i = 0; i < n; ++i) {
    set.pixels.push_back(static_cast<std::uint8_t>(i % 251));
    set.labels.push_back(static_cast<std::uint8_t>(i * 7 % classes));
  }
  return std::make_shared<const image_set>(std::move(set));
}

std::vector<index_list> parts_of(const image_set& set, const std::string& text, int workers,
                                 std::uint64_t seed = 1) {
  std::vector<index_list> parts;
  const auto shared = std::make_shared<const image_set>(set);
  for (const shard& s : partition(shared, parse_partition(text), workers, seed))
    parts.push_back(s.indices());
  return parts;
}

bool is_exact_cover(const std::vector<index_list>& parts, std::size_t size) {
  std::vector<int> owners(size);
  for (const index_list& part : parts)
    for (const std::uint32_t i : part) ++owners.at(i);
  return std::ranges::all_of(owners, [](int n) { return n == 1; });
}

std::set<int> labels_in(const image_set& set, const index_list& part) {
  std::set<int> found;
  for (const std::uint32_t i : part) found.insert(set.labels[i]);
  return found;
}

/// Mean over workers of the divergence of their labels from everybody's.
double skew(const image_set& set, const std::vector<index_list>& parts) {
  const auto global = label_histogram(set.labels, 10);
  double sum = 0;
  for (const index_list& part : parts) {
    std::vector<std::uint8_t> own;
    for (const std::uint32_t i : part) own.push_back(set.labels[i]);
    sum += label_divergence(label_histogram(own, 10), global);
  }
  return sum / static_cast<double>(parts.size());
}

std::filesystem::path file(const idx_files::temporary_directory& folder, const std::string& text) {
  return folder.write("split.txt", {text.begin(), text.end()});
}

}  // namespace

TEST_CASE("partitioners: every sample has one owner, everybody the minimum, and the seed decides") {
  const auto set = labelled(3001, 10);
  for (const char* text : {"iid", "dirichlet:0.05", "dirichlet:0.3,min=100", "dirichlet:100",
                           "classes:1", "classes:3", "classes:10", "shards:1", "shards:7", "label",
                           "quantity:0.02,min=250", "quantity:1", "power:1.5", "power:4"}) {
    CAPTURE(text);
    const int workers = std::string(text) == "quantity:0.02,min=250" ? 7 : 10;
    const auto parts = parts_of(*set, text, workers, 5);
    REQUIRE(parts.size() == static_cast<std::size_t>(workers));
    CHECK(is_exact_cover(parts, set->size()));
    for (const index_list& part : parts) CHECK(part.size() >= parse_partition(text).minimum);
    CHECK(parts == parts_of(*set, text, workers, 5));
    CHECK((parts == parts_of(*set, text, workers, 6)) == (std::string(text) == "label"));
  }
}

TEST_CASE("partitioners: alpha of the Dirichlet partition decides how different workers are") {
  const auto set = labelled(10'000, 10);
  const double strong = skew(*set, parts_of(*set, "dirichlet:0.05", 10)),
               usual = skew(*set, parts_of(*set, "dirichlet:0.5", 10)),
               weak = skew(*set, parts_of(*set, "dirichlet:100", 10)),
               none = skew(*set, parts_of(*set, "iid", 10));
  CHECK(strong > 1.0);  // one label alone has log(10) = 2.3
  CHECK(usual < strong);
  CHECK(usual > 0.2);
  CHECK(weak < 0.05);
  CHECK(none < 0.02);
}

TEST_CASE("partitioners: shares have the moments of their Dirichlet distribution") {
  for (const double alpha : {0.1, 0.5, 1.0, 4.0}) {
    CAPTURE(alpha);
    constexpr int draws = 4000, owners = 5;
    double sum = 0, squares = 0;
    for (std::uint32_t i = 0; i < draws; ++i) {
      const auto shares = detail::dirichlet_shares(owners, alpha, {.seed = 3, .step = i});
      CHECK(std::accumulate(shares.begin(), shares.end(), 0.0) == doctest::Approx(1));
      sum += shares[0];
      squares += shares[0] * shares[0];
    }
    const double mean = sum / draws, variance = squares / draws - mean * mean;
    const double expected = (1.0 / owners) * (1 - 1.0 / owners) / (owners * alpha + 1);
    CHECK(std::abs(mean - 0.2) < 5 * std::sqrt(expected / draws));
    CHECK(variance == doctest::Approx(expected).epsilon(0.12));
  }
  // Shapes at which plain gamma numbers are 0 for everybody.
  const auto extreme = detail::dirichlet_shares(4, 1e-4, {.seed = 1});
  CHECK(std::accumulate(extreme.begin(), extreme.end(), 0.0) == doctest::Approx(1));
}

TEST_CASE("partitioners: classes per worker") {
  const auto set = labelled(1000, 10);
  const auto fedgan = parts_of(*set, "classes:2", 5);
  for (const index_list& part : fedgan) {
    CHECK(labels_in(*set, part).size() == 2);
    CHECK(part.size() == 200);
  }
  for (const auto& [workers, classes] : {std::pair{10, 3}, {4, 7}, {7, 2}, {25, 1}}) {
    std::vector<int> owners(10);
    for (const index_list& part : parts_of(*set, "classes:" + std::to_string(classes), workers)) {
      const std::set<int> own = labels_in(*set, part);
      CHECK(own.size() == static_cast<std::size_t>(classes));
      for (const int label : own) ++owners[static_cast<std::size_t>(label)];
    }
    const auto [least, most] = std::ranges::minmax(owners);
    CHECK(most - least <= 1);
    CHECK(least >= 1);
  }
  CHECK_THROWS_WITH_AS(parts_of(*set, "classes:2", 4), Contains("2 for each of 4 workers"),
                       usage_error);
  CHECK_THROWS_AS(parts_of(*set, "classes:11", 4), usage_error);
  CHECK_THROWS_WITH_AS(parts_of(*labelled(20, 2), "classes:2", 15),
                       Contains("has 10 samples for the 15 workers"), usage_error);
}

TEST_CASE("partitioners: shards, labels and quantities") {
  const auto set = labelled(1000, 10);
  for (const index_list& part : parts_of(*set, "shards:2", 10)) {
    CHECK(part.size() == 100);
    CHECK(labels_in(*set, part).size() <= 2);
  }
  const auto by_three = parts_of(*set, "label", 3);
  CHECK(labels_in(*set, by_three[0]) == std::set<int>{0, 3, 6, 9});
  CHECK(labels_in(*set, by_three[2]) == std::set<int>{2, 5, 8});
  const auto power = parts_of(*set, "power:1", 4);
  CHECK(power[0].size() == 1 + 478);  // 996 of them in proportions 1, 1/2, 1/3, 1/4
  CHECK(power[3].size() == 1 + 120);
  CHECK(labels_in(*set, power[3]).size() == 10);
}

TEST_CASE("partitioners: impossible requests are refused") {
  const auto set = labelled(100, 10);
  CHECK_THROWS_WITH_AS(parts_of(*set, "label", 11), Contains("worker 10 got none"), usage_error);
  CHECK_THROWS_WITH_AS(parts_of(*set, "dirichlet:1,min=30", 4),
                       Contains("need 120 samples but got"), usage_error);
  CHECK_THROWS_WITH_AS(parts_of(*set, "quantity:1,min=30", 4), Contains("need 120 samples but got"),
                       usage_error);
  CHECK_THROWS_WITH_AS(parts_of(*set, "label,min=11", 10),
                       Contains("at least 11 samples but worker 0 got 10"), usage_error);
  CHECK_THROWS_WITH_AS(parts_of(*set, "shards:30", 4), Contains("120 shards need"), usage_error);
  CHECK_THROWS_AS((void)dirichlet{0}.split(set->labels, 2, 1), usage_error);
  CHECK_THROWS_AS((void)dirichlet{std::nan("")}.split(set->labels, 2, 1), usage_error);
  CHECK_THROWS_AS((void)quantity_skew{-1}.split(100, 2, 1), usage_error);
  CHECK_THROWS_AS((void)label_shards{0}.split(set->labels, 2, 1), usage_error);
  image_set unlabelled = *set;
  unlabelled.labels.clear();
  CHECK_THROWS_WITH_AS(parts_of(unlabelled, "dirichlet:1", 4), Contains("one label per image"),
                       usage_error);
  CHECK(parts_of(unlabelled, "quantity:1", 4).size() == 4);
}

TEST_CASE("partition_spec: texts that are no partition") {
  for (const char* text : {"",
                           "iid:1",
                           "label:",
                           "dirichlet",
                           "dirichlet:",
                           "dirichlet:0",
                           "dirichlet:-1",
                           "dirichlet:nan",
                           "dirichlet:inf",
                           "dirichlet:0.3x",
                           "classes:1.5",
                           "classes:0",
                           "shards:-2",
                           "file",
                           "file:",
                           "iid,min=0",
                           "iid,min=",
                           "Dirichlet:1",
                           "iid ",
                           "classes:99999999999"}) {
    CAPTURE(text);
    CHECK_THROWS_AS((void)parse_partition(text), usage_error);
  }
  CHECK_THROWS_WITH_AS((void)parse_partition("even"), Contains("found \"even\"; correct it"),
                       usage_error);
  const auto path = std::get<from_file>(parse_partition("file:a:b,c,min=2").policy).path;
  CHECK(path == "a:b,c");
}

TEST_CASE("partition files: both forms") {
  const idx_files::temporary_directory folder;
  const std::vector<index_list> expected{{1, 3}, {0}, {2, 4}};
  CHECK(read_partition(file(folder, "# by hand\n1\n0\n2\n0\r\n2"), 5, 3) == expected);
  CHECK(read_partition(file(folder, "0: 1\t3\n2:2\n# more\n1: 0\n2: 4\n"), 5, 3) == expected);
  const auto path = file(folder, "1\n0\n0\n");
  CHECK(parts_of(*labelled(3, 3), "file:" + path.string(), 2) ==
        std::vector<index_list>{{1, 2}, {0}});
  CHECK_THROWS_WITH_AS(parts_of(*labelled(3, 3), "file:" + path.string(), 3),
                       Contains("worker 2 got none"), usage_error);
}

TEST_CASE("partition files: everything else is refused with its line") {
  const idx_files::temporary_directory folder;
  const std::pair<const char*, const char*> cases[] = {
      {"0\n1\n", "expected one line for each of 3 samples, found 2"},
      {"0\n1\n1\n1\n", "in line 4 one line for each of 3 samples, found one more"},
      {"0\n1\n2\n", "in line 3 the number of a worker below 2, found \"2\""},
      {"0\n-1\n1\n", "found \"-1\""},
      {"0\n\n1\n1\n", "in line 2 the number of a worker below 2, found \"\""},
      {"0\n1 1\n1\n", "found \"1 1\""},
      {"0\n1\n0: 2\n", "in line 3 one worker, found \"0: 2\""},
      {"0: 1\n1\n", "in line 2 a worker, a colon and its samples"},
      {"0: 0 1\n1: 1 2\n", "found sample 1 for worker 0 and again for worker 1"},
      {"0: 0 1\n1: 3\n", "the number of a sample below 3, found \"3\""},
      {"0: 0\n1: 2\n", "found none for sample 1"},
      {"", "found none for sample 0"},
      {"0: 0, 1, 2\n", "found \"0,\""},
  };
  for (const auto& [content, sentence] : cases) {
    const std::string& text = content;  // clang++ 14 captures no structured binding
    CAPTURE(text);
    CHECK_THROWS_WITH_AS((void)read_partition(file(folder, text), 3, 2), Contains(sentence),
                         data_error);
  }
  CHECK_THROWS_AS((void)read_partition(folder.path() / "absent.txt", 3, 2), data_error);
}
