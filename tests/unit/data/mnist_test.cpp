// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/data/mnist.hpp"

#include <doctest/doctest.h>

#include <array>
#include <numeric>

#include "idx_files.hpp"

using gantry::data_error;
using namespace gantry::data;
using namespace idx_files;

namespace {

std::array<int, 10> label_counts(const image_set& set) {
  std::array<int, 10> counts{};
  for (const std::uint8_t label : set.labels) ++counts.at(label);
  return counts;
}

double mean_pixel(const image_set& set) {
  return static_cast<double>(
             std::accumulate(set.pixels.begin(), set.pixels.end(), std::uint64_t{0})) /
         static_cast<double>(set.pixels.size());
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

TEST_CASE("mnist: both splits, plain preferred to gz") {
  const temporary_directory dir;
  dir.write("train-images-idx3-ubyte.gz", gzip(images(30, 28, 28)));
  dir.write("train-labels-idx1-ubyte", labels(30));
  dir.write("train-labels-idx1-ubyte.gz", labels(3));
  dir.write("t10k-images-idx3-ubyte", images(7, 28, 28));
  dir.write("t10k-labels-idx1-ubyte.gz", gzip(labels(7)));
  CHECK(mnist(dir.path()).size() == 30);
  CHECK(mnist(dir.path()).name == "MNIST train");
  CHECK(mnist(dir.path(), split::test).size() == 7);
  CHECK(fashion_mnist(dir.path(), split::test).name == "Fashion-MNIST test");
}

TEST_CASE("mnist: a missing directory or file says what was looked for") {
  const temporary_directory dir;
  const auto nowhere = dir.path() / "nowhere";
  CHECK(says(message_of<data_error>([&] { (void)mnist(nowhere); }),
             {nowhere.string(), "expected the directory of MNIST, found nothing"}));
  CHECK(says(message_of<data_error>([&] { (void)fashion_mnist(nowhere); }),
             {nowhere.string(), "Fashion-MNIST", "apt-get install dataset-fashion-mnist"}));
  CHECK(says(message_of<data_error>([&] { (void)mnist(dir.write("file", {1})); }),
             {"found something else"}));
  CHECK(says(message_of<data_error>([&] { (void)mnist(dir.path(), split::test); }),
             {dir.path().string(), "t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz",
              "found neither"}));
  CHECK_THROWS_AS((void)mnist({}), gantry::usage_error);
}

TEST_CASE("mnist: other extents and labels than MNIST's are refused") {
  const temporary_directory dir;
  dir.write("train-images-idx3-ubyte", images(3, 32, 32));
  dir.write("train-labels-idx1-ubyte", labels(3));
  CHECK(says(message_of<data_error>([&] { (void)mnist(dir.path()); }),
             {"train-images-idx3-ubyte", "expected images of 28 x 28, found 32 x 32"}));
  dir.write("train-labels-idx1-ubyte", idx({0x801, 3}, {0, 255, 0}));
  CHECK(says(message_of<data_error>([&] { (void)mnist(dir.path()); }),
             {"train-labels-idx1-ubyte", "labels below 10, found 255 at position 1"}));
}

TEST_CASE("mnist: the published Fashion-MNIST") {
  const std::string dir = environment("GANTRY_FASHION_MNIST_DIR");
  if (!std::filesystem::exists(dir.empty() ? debian_fashion_mnist : dir)) {
    MESSAGE(
        "skipped: no Fashion-MNIST; set GANTRY_FASHION_MNIST_DIR or install "
        "dataset-fashion-mnist");
    return;
  }
  const image_set train = fashion_mnist(dir), test = fashion_mnist(dir, split::test);
  CHECK(train.size() == 60'000);
  CHECK(test.size() == 10'000);
  CHECK(train.sample_size() == 784);
  for (const int count : label_counts(train)) CHECK(count == 6'000);
  for (const int count : label_counts(test)) CHECK(count == 1'000);
  CHECK(int{train.labels[0]} == 9);
  CHECK(int{test.labels[0]} == 9);
  // 0.2860 of 255: the mean that public loaders normalise with.
  CHECK(mean_pixel(train) / 255 == doctest::Approx(0.2860).epsilon(1e-3));
}

TEST_CASE("mnist: the published MNIST") {
  const std::string dir = environment("GANTRY_MNIST_DIR");
  if (dir.empty()) {
    MESSAGE("skipped: no MNIST; set GANTRY_MNIST_DIR to the directory of its four files");
    return;
  }
  const image_set train = mnist(dir), test = mnist(dir, split::test);
  CHECK(train.size() == 60'000);
  CHECK(test.size() == 10'000);
  CHECK(label_counts(train) ==
        std::array{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949});
  CHECK(label_counts(test) == std::array{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009});
  CHECK(int{train.labels[0]} == 5);
  CHECK(int{test.labels[0]} == 7);
  CHECK(mean_pixel(train) / 255 == doctest::Approx(0.1307).epsilon(1e-3));
}
