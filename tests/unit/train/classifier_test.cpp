// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <doctest/doctest.h>

#include "gantry/concepts/feature_network.hpp"
#include "gantry/train/classifier.hpp"

#include "class_images.hpp"

using namespace gantry;
using namespace gantry::train;
using namespace class_images;
namespace fs = std::filesystem;
using cpu_classifier = classifier<backend::cpu>;
static_assert(FeatureNetwork<cpu_classifier>);

namespace {

const char* const file_name = "gantry-classifier-squares.safetensors";

/// For tests of the file, where it does not matter how much was learned.
constexpr classifier_settings brief{.passes = 1, .batch = 20, .rate = 3e-3};

/// Runs load_or_train on a small set and keeps what it says.
struct run {
  backend::cpu b{1};
  std::vector<std::string> notes;
  data::image_set train = make(200, 1, "squares train"), test = make(100, 2, "squares test");
  classifier_settings settings = brief;

  cpu_classifier operator()(std::vector<fs::path> folders) {
    notes.clear();
    return cpu_classifier::load_or_train(
        b, train, test, folders, [&](const std::string& s) { notes.push_back(s); }, settings);
  }
  bool said(const std::string& part) const {
    return std::ranges::any_of(notes, [&](const std::string& n) { return n.find(part) != n.npos; });
  }
};

std::vector<std::byte> bytes_of(const fs::path& path) { return io::read_file(path); }

}  // namespace

TEST_CASE("classifier: learns ten classes and says so") {
  run train;
  train.settings = quick;
  cpu_classifier c = train({});
  CHECK(c.accuracy() > 0.98);
  CHECK(c.name() == "gantry-classifier-squares");
  CHECK(c.hash().size() == 64);
  CHECK(train.said("training the classifier"));
  CHECK(train.said("accuracy on 100 test images"));
  CHECK(train.notes.size() == 2);

  SUBCASE("features and probabilities agree with one call per image") {
    const auto images = floats(make(300, 3, "more"));
    std::vector<float> features(300 * 64), probabilities(300 * 10), one(64), row(10);
    c.evaluate(images, 300, features, probabilities);
    for (const int i : {0, 255, 256, 299}) {
      c.evaluate(std::span(images).subspan(static_cast<std::size_t>(i) * 784, 784), 1, one, row);
      for (int j = 0; j < 64; ++j)
        CHECK(one[j] == doctest::Approx(features[i * 64 + j]).epsilon(1e-4));
      for (int j = 0; j < 10; ++j)
        CHECK(row[j] == doctest::Approx(probabilities[i * 10 + j]).epsilon(1e-4));
      CHECK(std::accumulate(row.begin(), row.end(), 0.0) == doctest::Approx(1.0).epsilon(1e-5));
      CHECK(std::ranges::max_element(row) - row.begin() == i % 10);
      CHECK(*std::ranges::min_element(one) >= 0.0f);
      CHECK(*std::ranges::max_element(one) > 0.0f);
    }
    std::vector<float> alone(300 * 64);
    c.evaluate(images, 300, alone, {});
    CHECK(alone == features);
  }
  SUBCASE("NaN and infinity do not pass, although an activation would hide them") {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      std::vector<float> images(2 * 784, -1.0f), features(2 * 64);
      images[784 + 5] = bad;
      CHECK_THROWS_WITH_AS(c.evaluate(images, 2, features, {}),
                           doctest::Contains("pixel 5 of image 1"), numeric_error);
    }
  }
  SUBCASE("sizes that do not fit") {
    std::vector<float> images(2 * 784), features(2 * 64);
    CHECK_THROWS_AS(c.evaluate(images, 1, features, {}), usage_error);
    CHECK_THROWS_AS(c.evaluate(images, 2, std::span(features).first(64), {}), usage_error);
    CHECK_THROWS_AS(c.evaluate(images, 2, {}, features), usage_error);
  }
}

TEST_CASE("classifier: a pure function of data and settings") {
  const std::string once = hash_of(trained(1, brief));
  CHECK(once == hash_of(trained(1, brief)));
  CHECK(once == hash_of(trained(3, brief)));
  classifier_settings other = brief;
  other.seed = 1;
  CHECK(once != hash_of(trained(1, other)));
}

TEST_CASE("classifier: what cannot be trained") {
  const auto attempt = [](auto change) {
    run train;
    change(train);
    (void)train({});
  };
  CHECK_THROWS_AS(attempt([](run& r) { r.train.labels.clear(); }), usage_error);
  CHECK_THROWS_AS(attempt([](run& r) { r.train.labels[7] = 10; }), usage_error);
  CHECK_THROWS_AS(attempt([](run& r) { r.train = {}; }), usage_error);
  CHECK_THROWS_AS(attempt([](run& r) { r.train.height = 14, r.train.width = 56; }), usage_error);
  CHECK_THROWS_AS(attempt([](run& r) { r.settings.passes = 0; }), usage_error);
  CHECK_THROWS_AS(attempt([](run& r) { r.settings.rate = std::nan(""); }), usage_error);
  CHECK_THROWS_AS(attempt([](run& r) { r.test.labels.clear(); }), usage_error);
  CHECK_THROWS_AS(attempt([](run& r) { r.settings.rate = 1e30; }), numeric_error);
}

TEST_CASE("classifier: kept in the first folder that can be written, and used again") {
  const temporary_directory dir;
  const fs::path blocked = dir.path() / "file", second = dir.path() / "new" / "cache",
                 third = dir.path() / "third";
  io::write_file_atomic(blocked, "a file where a folder would be");
  run train;
  const cpu_classifier c = train({blocked, second, third});
  CHECK(train.said("kept the classifier in " + (second / file_name).string()));
  CHECK(fs::exists(second / file_name));
  CHECK_FALSE(fs::exists(third));

  const cpu_classifier again = train({third, second});
  CHECK(again.hash() == c.hash());
  CHECK(again.accuracy() == c.accuracy());
  CHECK(again.name() == c.name());
  CHECK(train.notes.size() == 1);
  CHECK(train.said("using the trained classifier " + (second / file_name).string()));

  const auto file = io::safetensors_file::read(second / file_name);
  CHECK(file.tensors().size() == 8);
  CHECK(file.find("features.0.weight")->shape == std::vector<std::int64_t>{16, 1, 4, 4});
  CHECK(file.find("features.4.weight")->shape == std::vector<std::int64_t>{64, 1568});
  CHECK(file.find("head.0.bias")->shape == std::vector<std::int64_t>{10});
  const auto text = [&](const char* key) { return detail::find_metadata(file.metadata(), key); };
  CHECK(text("data_set") == "squares train");
  CHECK(text("test_images") == "100");
  CHECK(text("test_accuracy") == io::json::dump(c.accuracy()));
  CHECK(text("tensors_sha256") == c.hash());
  CHECK(text("training_data_sha256").size() == 64);
}

TEST_CASE("classifier: no folder can be written") {
  const temporary_directory dir;
  io::write_file_atomic(dir.path() / "file", "x");
  run train;
  CHECK(train({dir.path() / "file"}).hash().size() == 64);
  CHECK(train.said("could not be kept"));
}

TEST_CASE("classifier: a file of other data, other settings or another program is left aside") {
  const temporary_directory dir;
  const fs::path path = dir.path() / file_name;
  run train;
  const std::string hash = train({dir.path()}).hash();
  const auto kept = bytes_of(path);

  SUBCASE("other data under the same name") {
    ++train.train.pixels[123];
    CHECK(train({dir.path()}).hash() != hash);
    CHECK(train.said("training_data_sha256"));
  }
  SUBCASE("other labels under the same name") {
    std::swap(train.train.labels[0], train.train.labels[1]);
    CHECK(train({dir.path()}).hash() != hash);
    CHECK(train.said("training_data_sha256"));
  }
  SUBCASE("other settings") {
    train.settings.passes += 1;
    CHECK(train({dir.path()}).hash() != hash);
    CHECK(train.said("training_settings"));
  }
  SUBCASE("a valid file that is no classifier") {
    io::write_safetensors(path, {});
    CHECK(train({dir.path()}).hash() == hash);
    CHECK(bytes_of(path) == kept);
  }
  CHECK(train.said("training the classifier"));
  (void)train({dir.path()});
  CHECK(train.said("using the trained classifier"));
}

TEST_CASE("classifier: a damaged file is noticed and replaced") {
  const temporary_directory dir;
  const fs::path path = dir.path() / file_name;
  run train;
  const std::string hash = train({dir.path()}).hash();
  const auto kept = bytes_of(path);
  auto damaged = kept;
  SUBCASE("cut") { damaged.resize(damaged.size() / 2); }
  SUBCASE("empty") { damaged.clear(); }
  SUBCASE("one bit of the last weight") { damaged.back() ^= std::byte{1}; }
  SUBCASE("one bit of the header") { damaged[8] ^= std::byte{1}; }
  io::write_file_atomic(path, damaged);
  CHECK(train({dir.path()}).hash() == hash);
  CHECK(train.said(path.string()));
  CHECK(train.said("training the classifier"));
  CHECK(bytes_of(path) == kept);
}

TEST_CASE("classifier: names of files and folders") {
  CHECK(detail::file_name_part("Fashion-MNIST train") == "fashion-mnist");
  CHECK(detail::file_name_part("../My set\n") == "---my-set-");
  CHECK(detail::file_name_part("") == "unnamed");
  const auto folders = classifier_folders({}, {});
  CHECK(folders.size() <= 1);
  CHECK(classifier_folders("data", "run").size() == folders.size() + 2);
  CHECK(classifier_folders("data", "run").front() == "data");
  CHECK(classifier_folders("data", "run").back() == "run");
}
