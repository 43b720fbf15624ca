// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/io/array_images.hpp"
#include "gantry/io/image_zip.hpp"
#include "gantry/io/zip.hpp"

#include "archive_files.hpp"

namespace gantry::inline v0::io {
namespace {

using namespace test;

const std::vector<zip_file> three{{"b.txt", bytes_of("stored"), false},
                                  {"folder/", {}, false},
                                  {"a.txt", bytes(5000, 'x'), true}};

/// What opening the archive and reading all of it says.
std::string refusal(const bytes& archive) {
  return message_of<data_error>([&] {
    const zip_archive zip(random_reader(archive, "some.zip"));
    for (const zip_entry& entry : zip.entries()) (void)zip.read(entry, 5000);
  });
}

TEST_CASE("zip_archive: stored and deflated entries, with and without zip64") {
  for (const bool zip64 : {false, true}) {
    zip_maker maker{zip64};
    const zip_archive zip(random_reader(maker.make(three), "some.zip"));
    REQUIRE(zip.entries().size() == 2);
    CHECK(zip.entries()[0].name == "a.txt");
    CHECK(zip.read(zip.entries()[0], 5000) == bytes(5000, 'x'));
    CHECK(zip.read(*zip.find("b.txt"), 6) == bytes_of("stored"));
    CHECK(zip.find("c.txt") == nullptr);
    CHECK(zip.name_of(zip.entries()[1]) == "some.zip:b.txt");
  }
  CHECK(zip_archive(random_reader(make_zip({}), "empty.zip")).entries().empty());
}

TEST_CASE("zip_archive: every cut is refused") {
  for (const bool zip64 : {false, true}) {
    const bytes whole = zip_maker{zip64}.make({{"a", bytes_of("contents"), false}});
    for (std::size_t n = 0; n < whole.size(); ++n)
      REQUIRE(says(refusal(cut(whole, n)), {"some.zip"}));
    CHECK(says(refusal(whole + bytes{0}), {"a zip archive", "bytes after it"}));
  }
}

TEST_CASE("zip_archive: contradictions are refused") {
  zip_maker maker;
  const bytes good = maker.make({{"a", bytes_of("first"), false}, {"b", bytes(99, 'y'), true}});
  const std::size_t central = maker.directory_at, end = good.size() - 22;
  const auto with = [&](std::size_t at, std::uint64_t value, int size) {
    bytes bad = good;
    put(bad, at, number(value, size));
    return refusal(bad);
  };
  CHECK(refusal(good) == "[no error]");
  CHECK(says(with(end, 0, 4), {"a zip archive"}));
  CHECK(says(with(end + 4, 1, 2), {"a part of several"}));
  CHECK(says(with(end + 8, 3, 4), {"a part of several"}));
  CHECK(says(with(end + 12, 0x7FFFFFFF, 4), {"a directory of 2 entries"}));
  CHECK(says(with(end + 16, 0xFFFFFFFE, 4), {"at 4294967294"}));
  CHECK(says(with(end + 16, 0xFFFFFFFF, 4), {"at 4294967295"}));  // no zip64 record is there
  CHECK(says(with(central, 1, 4), {"a directory of entries"}));
  CHECK(says(with(central + 8, 1, 2), {"some.zip:a", "password", "encrypted"}));
  CHECK(says(with(central + 10, 12, 2), {"compression method 12"}));
  CHECK(says(with(central + 16, 7, 4), {"some.zip:a", "check sum"}));
  CHECK(says(with(central + 20, 4, 4), {"sizes that fit", "4 bytes for 5"}));
  CHECK(says(with(central + 20, 0xFFFFFFF0, 4), {"data before the directory"}));
  CHECK(says(with(central + 28, 0xFFFF, 2), {"a cut one"}));
  CHECK(says(with(central + 42, 0xFFFFFFF0, 4), {"data before the directory"}));
  CHECK(says(with(central + 42, 3, 4), {"do not overlap"}));
  CHECK(says(with(0, 0, 4), {"a local header"}));
  CHECK(says(with(8, 8, 2), {"a local header"}));
  CHECK(says(with(26, 5, 2), {"a local header"}));
  CHECK(says(with(28, 0xFFFF, 2), {"a local header"}));
  CHECK(says(with(30, 'c', 1), {"another name"}));
  CHECK(says(with(31, 'F', 1), {"another check sum"}));
  const std::size_t second = central + 47;  // its size: more and less than the data give
  CHECK(says(with(second + 24, 100, 4), {"some.zip:b", "intact deflate data"}));
  CHECK(says(with(second + 24, 98, 4), {"intact deflate data"}));
  CHECK(says(with(second + 24, 0xF0000000, 4), {"sizes that fit"}));
  CHECK(says(with(36 + 31, 0xFFFF, 2), {"intact deflate data"}));
  CHECK(says(refusal(make_zip({{"a", {}, false}, {"a", {}, false}})), {"two entries a"}));
}

TEST_CASE("zip_archive: contents above a limit are refused before memory is taken") {
  const zip_archive zip(random_reader(make_zip(three), "some.zip"));
  CHECK(says(message_of<data_error>([&] { (void)zip.read(zip.entries()[0], 4999); }),
             {"some.zip:a.txt", "at most 4999 bytes of contents", "found 5000"}));

  bytes noise(3'000'000);  // so many deflated bytes may be 3 GB of contents
  for (std::uint32_t i = 0, x = 1; i < noise.size(); ++i)
    noise[i] = static_cast<std::uint8_t>((x = x * 1664525 + 1013904223) >> 24);
  const auto claims = [&](const std::vector<zip_file>& files) {  // 2 GiB - 1 for the first
    zip_maker maker;
    bytes archive = maker.make(files);
    put(archive, maker.directory_at + 24, number(0x7FFFFFFF, 4));
    return random_reader(archive, "bomb.zip");
  };
  const zip_file small{"b.png", fake_png(1), false};
  CHECK(says(message_of<data_error>([&] {
               (void)pixel(image_zip(claims({{"a.png", noise, true}, small}), fake_codecs()), 0);
             }),
             {"bomb.zip:a.png", "at most 1073741824 bytes", "found 2147483647"}));
  CHECK(says(message_of<data_error>([&] {
               (void)image_zip(claims({{"dataset.json", noise, true}, small}), fake_codecs());
             }),
             {"bomb.zip:dataset.json", "at most 67108864 bytes"}));
  CHECK(says(message_of<data_error>([&] {
               (void)open_npz(claims(
                   {{"y.npy", noise, true}, {"x.npy", npy_of("|u1", "(1, 1, 1)", {1}), false}}));
             }),
             {"bomb.zip:y.npy", "at most 1073741824 bytes"}));
}

TEST_CASE("zip_archive: places of zip64 are checked too") {
  zip_maker maker{true};
  const bytes good = maker.make({{"a", bytes_of("first"), false}});
  const std::size_t end64 = good.size() - 22 - 20 - 56, locator = good.size() - 22 - 20;
  const auto with = [&](std::size_t at, std::uint64_t value) {
    bytes bad = good;
    put(bad, at, number(value, 8));
    return refusal(bad);
  };
  CHECK(refusal(good) == "[no error]");
  CHECK(says(with(locator + 8, ~std::uint64_t{0}), {"a zip64 end record before byte"}));
  CHECK(says(with(locator + 8, end64 - 1), {"something else at its place"}));
  CHECK(says(with(end64 + 32, ~std::uint64_t{0}), {"a zip64 end record"}));
  CHECK(says(with(end64 + 40, ~std::uint64_t{0}), {"a directory of 1 entries"}));
  CHECK(says(with(end64 + 48, ~std::uint64_t{0} - 5), {"a directory of 1 entries"}));
  const std::size_t extra = maker.directory_at + 46 + 1 + 4;
  CHECK(says(with(extra, ~std::uint64_t{0}), {"sizes that fit"}));
  CHECK(says(with(extra + 8, ~std::uint64_t{0}), {"data before the directory"}));
  CHECK(says(with(extra + 16, ~std::uint64_t{0} - 30), {"data before the directory"}));
}

TEST_CASE("image_zip: StyleGAN's labels, and archives without") {
  const std::string json = R"({"labels": [["x/b.png", 0], ["x/a.png", 4], ["other.png", 9]]})";
  const std::vector<zip_file> images{{"x/b.png", fake_png(11), false},
                                     {"x/a.png", fake_png(10), true},
                                     {"__MACOSX/._a.png", {1}, false},
                                     {"readme.txt", {}, false}};
  const auto with = [&](const std::string& text) {
    std::vector<zip_file> files = images;
    files.push_back({"dataset.json", bytes_of(text), false});
    return image_zip(random_reader(make_zip(files), "set.zip"), fake_codecs());
  };
  const image_zip set = with(json);
  REQUIRE(set.size() == 2);
  CHECK(set.classes() == 5);
  CHECK(labels_of(set) == std::vector{4, 0});
  CHECK(set.class_name(4) == "4");
  CHECK(pixel(set, 0) == 10);
  CHECK(pixel(set, 1) == 11);
  CHECK(set.name(0) == "set.zip:x/a.png");
  CHECK(with(R"({"labels": null})").classes() == 0);
  CHECK(image_zip(random_reader(make_zip(images), "set.zip"), fake_codecs()).label(1) == 0);
  const auto refused = [&](const std::string& text) {
    return message_of<data_error>([&] { (void)with(text); });
  };
  CHECK(says(refused(R"({"labels": [["x/a.png", 1]]})"), {"set.zip:dataset.json", "x/b.png"}));
  CHECK(says(refused(R"({"labels": [["x/a.png", [0.5, 1]]]})"), {"no vectors"}));
  CHECK(says(refused(R"({"labels": [["x/a.png", -1]]})"), {"labels from 0 to 65534", "-1"}));
  CHECK(says(refused(R"({"labels": [["x/a.png", 65535]]})"), {"65535"}));
  CHECK(says(refused(R"({"labels": 3})"), {"something else"}));
  CHECK(says(refused("[]"), {"something else"}));
  CHECK(contains(refused("{"), "not valid JSON"));
  CHECK(says(message_of<data_error>([] {
               (void)image_zip(random_reader(make_zip({{"a.gif", {}, false}}), "set.zip"), {});
             }),
             {"set.zip", "found none"}));
}

}  // namespace
}  // namespace gantry::io
