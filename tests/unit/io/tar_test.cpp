// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/io/tar.hpp"
#include "gantry/io/webdataset.hpp"

#include "archive_files.hpp"

namespace gantry::inline v0::io {
namespace {

using namespace test;

std::vector<tar_entry> entries_of(const bytes& archive) {
  return read_tar(random_reader(archive, "some.tar"));
}
std::string refusal(const bytes& archive) {
  return message_of<data_error>([&] { (void)entries_of(archive); });
}

TEST_CASE("read_tar: files, long names of both kinds, and what is skipped") {
  const std::string deep(150, 'd');
  const bytes archive =
      tar_entry_of("folder/", {}, '5') + tar_entry_of("a.cls", bytes_of("1")) +
      tar_entry_of("pax", bytes_of("21 path=from/pax.png\n"), 'x') +
      tar_entry_of("short", bytes(513, 7)) + tar_entry_of("g", bytes_of("11 k=value\n"), 'g') +
      tar_entry_of("././@LongLink", bytes_of(deep) + bytes{0}, 'L') + tar_entry_of("short", {}) +
      tar_entry_of("link", {}, '2') + tar_entry_of("last", bytes(512, 1)) + tar_end() + bytes(4096);
  const std::vector<tar_entry> found = entries_of(archive);
  REQUIRE(found.size() == 4);
  CHECK(found[0].name == "a.cls");
  CHECK(found[0].size == 1);
  CHECK(int{archive[found[0].at]} == '1');
  CHECK(found[1].name == "from/pax.png");
  CHECK(found[1].size == 513);
  CHECK(found[2].name == deep);
  CHECK(found[3].name == "last");
  bytes ustar = tar_entry_of("name", {});
  put(ustar, 345, bytes_of("prefix"));
  int sum = 0;
  put(ustar, 148, bytes(8, ' '));
  for (const std::uint8_t b : ustar) sum += b;
  std::string octal;
  for (int shift = 15; shift >= 0; shift -= 3) octal += char('0' + (sum >> shift & 7));
  put(ustar, 148, bytes_of(octal) + bytes{0, ' '});
  CHECK(entries_of(ustar + tar_end()).at(0).name == "prefix/name");
  CHECK(entries_of(bytes(512)).empty());
}

TEST_CASE("read_tar: what is damaged is refused") {
  const bytes good = tar_entry_of("a", bytes_of("contents")) + tar_end();
  CHECK(refusal(good) == "[no error]");
  for (std::size_t n = 0; n < good.size() - 512; ++n)
    REQUIRE(says(refusal(cut(good, n)), {"some.tar"}));
  CHECK(says(refusal(tar_entry_of("a", {}, '0', 1) + tar_end()), {"check sum", "at byte 0"}));
  CHECK(says(refusal(bytes(512, 'x') + tar_end()), {"octal numbers", "something else"}));
  CHECK(says(refusal(good + bytes{1}), {"only zeros after the end"}));
  CHECK(says(refusal({0x1f, 0x8b, 8}), {"some.tar", "the end of the file"}));
  const auto with_size = [](const bytes& field) {
    bytes header = tar_entry_of("a", {});
    put(header, 124, field);
    put(header, 148, bytes(8, ' '));
    int sum = 0;
    for (const std::uint8_t b : header) sum += b;
    std::string octal;
    for (int shift = 15; shift >= 0; shift -= 3) octal += char('0' + (sum >> shift & 7));
    put(header, 148, bytes_of(octal) + bytes{0, ' '});
    return refusal(header + tar_end());
  };
  CHECK(says(with_size(bytes_of("777777777777")), {"an entry of 68719476735 bytes"}));
  CHECK(says(with_size(bytes{0x80} + bytes(11, 0xFF)), {"at most 64 bits"}));
  CHECK(says(with_size(bytes{0x80} + bytes(3, 0) + bytes(8, 0xFF)),
             {"an entry of 18446744073709551615 bytes"}));
  CHECK(says(with_size(bytes(12, 0)), {"octal numbers"}));
  for (const char* record : {"5", "99 path=a\n", "8 path=a\n", "x path=a\n", "2 \n", "0 path=a\n",
                             "18446744073709551616 path=a\n", "11 size=9z\n", "11 size=-1\n"}) {
    CAPTURE(record);
    CHECK(says(refusal(tar_entry_of("x", bytes_of(record), 'x') + good), {"pax header"}));
  }
  CHECK(says(refusal(tar_entry_of("x", bytes_of("29 size=18446744073709551615\n"), 'x') + good),
             {"an entry of 18446744073709551615 bytes"}));
}

/// A shard, opened with others.
webdataset open(const std::vector<bytes>& shards) {
  std::vector<random_reader> readers;
  for (const bytes& shard : shards)
    readers.emplace_back(shard + tar_end(), "s" + std::to_string(readers.size()) + ".tar");
  return {std::move(readers), fake_codecs()};
}
std::string refused(const std::vector<bytes>& shards) {
  return message_of<data_error>([&] { (void)open(shards); });
}
bytes sample(const std::string& key, std::uint8_t pixel, const std::string& cls) {
  return tar_entry_of(key + ".cls", bytes_of(cls)) + tar_entry_of(key + ".png", fake_png(pixel));
}

TEST_CASE("webdataset: samples of several shards, labels in .cls and .json") {
  const webdataset set =
      open({sample("000", 50, "2") + tar_entry_of("text.txt", bytes_of("no image")),
            tar_entry_of("d.1/001.PNG", fake_png(51)) +
                tar_entry_of("d.1/001.json", bytes_of(R"({"label": 7, "text": "x"})")),
            sample("002", 52, "0\n") + tar_entry_of("._002.png", fake_png(9))});
  REQUIRE(set.size() == 3);
  CHECK(labels_of(set) == std::vector{2, 7, 0});
  CHECK(set.classes() == 8);
  CHECK(pixel(set, 0) == 50);
  CHECK(pixel(set, 1) == 51);
  CHECK(set.name(1) == "s1.tar:d.1/001.PNG");
  const webdataset plain = open({tar_entry_of("a.png", fake_png(1)) +
                                 tar_entry_of("a.json", bytes_of(R"({"caption": "x"})"))});
  CHECK(plain.classes() == 0);
  CHECK(plain.label(0) == 0);
}

TEST_CASE("webdataset: what does not fit is refused") {
  CHECK(says(refused({}), {"found none"}));
  CHECK(says(refused({tar_entry_of("a.cls", bytes_of("1"))}), {"s0.tar", "found none"}));
  CHECK(says(refused({sample("a", 1, "1") + tar_entry_of("b.png", fake_png(1))}),
             {"s0.tar:b.png", "a label for each image", "1 for 2 images"}));
  CHECK(
      says(refused({tar_entry_of("a.png", fake_png(1)) + sample("b", 1, "1"), sample("c", 1, "1")}),
           {"s0.tar:a.png", "2 for 3 images"}));
  CHECK(says(refused({tar_entry_of("a.png", fake_png(1)) + tar_entry_of("b.png", fake_png(1)) +
                      tar_entry_of("a.cls", bytes_of("1")) + tar_entry_of("b.cls", bytes_of("0"))}),
             {"s0.tar:b.cls", "one behind the other", "without its image"}));
  CHECK(says(refused({sample("a", 1, "cat")}), {"s0.tar:a.cls", "\"cat\""}));
  CHECK(says(refused({sample("a", 1, "-1")}), {"labels from 0 to 65534"}));
  CHECK(says(refused({sample("a", 1, "99999999999999999999")}), {"the number of a class"}));
  CHECK(says(refused({sample("a", 1, "")}), {"the number of a class"}));
  CHECK(says(refused({tar_entry_of("a.png", fake_png(1)) + tar_entry_of("a.jpg", fake_png(1))}),
             {"s0.tar:a.jpg", "one image per sample"}));
  CHECK(contains(
      refused({tar_entry_of("a.png", fake_png(1)) + tar_entry_of("a.json", bytes_of("{"))}),
      "s0.tar:a.json is not valid JSON"));
}

}  // namespace
}  // namespace gantry::io
