// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include <doctest/doctest.h>

#include "gantry/data/cifar.hpp"

#include "idx_files.hpp"

using gantry::data_error;
using namespace gantry::data;
using namespace idx_files;

namespace {

/// A record: its labels, and planes of red, green and blue that count up from 0, 1 and 2.
bytes record(const bytes& labels) {
  bytes out = labels;
  for (int plane = 0; plane < 3; ++plane)
    for (int p = 0; p < 1024; ++p) out.push_back(static_cast<std::uint8_t>((p + plane) % 251));
  return out;
}

/// n records with the labels 0 .. 9 in turn.
bytes records(int n) {
  bytes out;
  for (int i = 0; i < n; ++i) out = out + record({static_cast<std::uint8_t>(i % 10)});
  return out;
}

std::string refusal(const std::filesystem::path& dir, split part = split::train) {
  return message_of<data_error>([&] { (void)cifar10(dir, part); });
}

}  // namespace

TEST_CASE("cifar10: planes become pixels, in the order of the files") {
  const temporary_directory dir;
  dir.write("data_batch_3.bin", record({7}) + record({1}));
  dir.write("data_batch_1.bin", record({9}));
  dir.write("data_batch_1.bin.gz", gzip(records(5)));  // the plain file is preferred
  dir.write("data_batch_5.bin.gz", gzip(records(4)));
  const image_set set = cifar10(dir.path());
  CHECK(set.name == "CIFAR-10 train");
  CHECK(set.size() == 7);
  CHECK(set.labels == bytes{9, 7, 1, 0, 1, 2, 3});
  CHECK(set.sample_size() == 3072);
  for (const std::size_t image : {0, 2, 6})
    for (int p = 0; p < 1024; ++p)
      for (int c = 0; c < 3; ++c)
        REQUIRE(int{set.image(image)[static_cast<std::size_t>(3 * p + c)]} == (p + c) % 251);
  CHECK(set.files == std::vector{dir.path() / "data_batch_1.bin", dir.path() / "data_batch_3.bin",
                                 dir.path() / "data_batch_5.bin.gz"});
  dir.write("test_batch.bin", records(2));
  CHECK(cifar10(dir.path(), split::test).size() == 2);
  CHECK(cifar10(dir.path(), split::test).name == "CIFAR-10 test");
}

TEST_CASE("cifar10: the published folder is found in the one that was named") {
  const temporary_directory dir;
  std::filesystem::create_directory(dir.path() / "cifar-10-batches-bin");
  dir.write("cifar-10-batches-bin/data_batch_2.bin", records(3));
  CHECK(cifar10(dir.path()).size() == 3);
}

TEST_CASE("cifar10: what is missing is named") {
  const temporary_directory dir;
  const auto nowhere = dir.path() / "nowhere";
  CHECK(says(refusal(nowhere), {nowhere.string(), "expected the directory of CIFAR-10",
                                "found nothing", "cifar-10-binary.tar.gz"}));
  CHECK(says(refusal(dir.write("file", {1})), {"found something else"}));
  CHECK(says(refusal(dir.path()),
             {dir.path().string(), "at least one of data_batch_1.bin to data_batch_5.bin",
              "found none", "cifar-10-binary.tar.gz"}));
  CHECK(says(refusal(dir.path(), split::test), {"a file test_batch.bin", "found none"}));
  CHECK_THROWS_AS((void)cifar10({}), gantry::usage_error);
  CHECK_THROWS_AS((void)cifar100({}), gantry::usage_error);
}

TEST_CASE("cifar10: files of a wrong length or kind are refused") {
  const temporary_directory dir;
  const auto refused = [&](const bytes& contents, std::initializer_list<std::string> parts) {
    dir.write("data_batch_1.bin", contents);
    const std::string text = refusal(dir.path());
    CAPTURE(text);
    CHECK(says(text, {"data_batch_1.bin: expected", "CIFAR-10", "; "}));
    CHECK(says(text, parts));
  };
  bytes cut = records(3);
  cut.pop_back();
  refused(cut, {"whole records of 3073 bytes", "2 of them and 3072 bytes more", "download"});
  refused(records(2) + bytes{1, 2, 3}, {"2 of them and 3 bytes more"});
  refused({}, {"whole records of 3073 bytes", "found none"});
  refused({4}, {"0 of them and 1 bytes more"});
  refused(records(2) + record({10}), {"labels below 10", "found 10 in record 2"});
  refused(record({255}), {"found 255 in record 0", "binary version"});
  refused(record({3, 40}) + record({3, 40}), {"labels below 10", "in record 1", "binary version"});
  std::filesystem::remove(dir.path() / "data_batch_1.bin");
  bytes packed = gzip(records(3));
  packed.resize(packed.size() / 2);
  dir.write("data_batch_4.bin.gz", packed);
  CHECK(says(refusal(dir.path()), {"data_batch_4.bin.gz", "a complete gzip file"}));
  std::filesystem::remove(dir.path() / "data_batch_4.bin.gz");
  std::filesystem::create_directory(dir.path() / "data_batch_2.bin");
  CHECK(says(refusal(dir.path()), {"data_batch_2.bin", "a directory"}));
}

TEST_CASE("cifar100: either label, and files that are refused") {
  const temporary_directory dir;
  dir.write("train.bin", record({19, 99}) + record({4, 0}));
  CHECK(cifar100(dir.path()).labels == bytes{99, 0});
  CHECK(cifar100(dir.path(), split::train, cifar100_labels::coarse).labels == bytes{19, 4});
  CHECK(cifar100(dir.path()).name == "CIFAR-100 train");
  CHECK(int{cifar100(dir.path()).image(1)[5]} == 3);
  const auto refused = [&](const bytes& contents) {
    dir.write("test.bin", contents);
    return message_of<data_error>([&] { (void)cifar100(dir.path(), split::test); });
  };
  CHECK(says(refused(record({20, 3})), {"test.bin", "labels below 20", "found 20 in record 0"}));
  CHECK(says(refused(record({2, 100})), {"labels below 100", "found 100"}));
  CHECK(says(refused(records(1)), {"whole records of 3074 bytes", "0 of them and 3073 bytes"}));
  std::filesystem::remove(dir.path() / "train.bin");
  CHECK(says(message_of<data_error>([&] { (void)cifar100(dir.path()); }),
             {"a file train.bin", "cifar-100-binary.tar.gz"}));
}

TEST_CASE("cifar10: published files") {
  const char* variable = std::getenv("GANTRY_CIFAR10_DIR");
  if (variable == nullptr || *variable == 0) {
    MESSAGE("skipped: no CIFAR-10; set GANTRY_CIFAR10_DIR to the directory of its binary files");
    return;
  }
  const image_set train = cifar10(variable);
  CHECK(train.size() % 10'000 == 0);
  CHECK(train.size() == 10'000 * train.files.size());
  CHECK(*std::ranges::max_element(train.labels) == 9);
  if (train.files.front().filename().string().starts_with("data_batch_1.bin")) {
    CHECK(int{train.labels[0]} == 6);  // a frog
    CHECK(int{train.pixels[0]} == 59);
    CHECK(int{train.pixels[1]} == 62);
    CHECK(int{train.pixels[2]} == 63);
  }
  std::array<double, 3> sums{};
  for (std::size_t i = 0; i < train.pixels.size(); ++i) sums[i % 3] += train.pixels[i];
  // Of 255: the means that public loaders normalise with.
  const std::array published{0.4914, 0.4822, 0.4465};
  for (std::size_t c = 0; c < 3; ++c)
    CHECK(3 * sums[c] / static_cast<double>(train.pixels.size()) / 255 ==
          doctest::Approx(published[c]).epsilon(0.01));
}
