// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <sys/types.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>
#include <stdlib.h>

#include "gantry/data/packed.hpp"
#include "gantry/data/partition.hpp"
#include "gantry/data/sampler.hpp"
#include "gantry/io/file_calls.hpp"
#include "gantry/train/data_hash.hpp"
#include "gantry/train/packed_writer.hpp"

#include "support/scratch_folder.hpp"

namespace fs = std::filesystem;
using gantry::data_error;
using gantry::hwc;
using gantry::usage_error;
using namespace gantry::data;
using gantry::train::packed_writer;

namespace {

using bytes = std::vector<std::uint8_t>;

bytes read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const fs::path& file, const bytes& contents) {
  std::ofstream(file, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(contents.data()),
             static_cast<std::streamsize>(contents.size()));
}

const std::vector<std::string> names{"cats", "no\nbody", "dogs"};
const bytes labels{2, 0, 0, 2, 0};

bytes image(int i) {
  bytes pixels(2 * 3 * 3);
  for (std::size_t p = 0; p < pixels.size(); ++p)
    pixels[p] = static_cast<std::uint8_t>(40 * i + static_cast<int>(p));
  return pixels;
}

std::string pack(const fs::path& file, bool labelled = true) {
  packed_writer writer(file, hwc{2, 3, 3}, labelled ? names.size() : 0);
  for (int i = 0; i < 5; ++i)
    writer.append(image(i), labelled ? labels[static_cast<std::size_t>(i)] : std::uint8_t{0});
  gantry::io::sha256::digest_type key{};
  key[31] = std::byte{0xab};
  return writer.finish(
      labelled ? std::span<const std::string>(names) : std::span<const std::string>(), key);
}

/// Writes the check sum of a header that has been changed.
void sign(bytes& file) {
  const std::uint32_t crc = packed_crc(0, std::span(file).first(packed_page - 4));
  std::memcpy(file.data() + packed_page - 4, &crc, 4);
}
void sign_tail(bytes& file, std::size_t tail) {
  const std::uint32_t crc = packed_crc(0, std::span(file).subspan(tail));
  std::memcpy(file.data() + 124, &crc, 4);
  sign(file);
}

}  // namespace

TEST_CASE("packed file: what was written is mapped, with labels, names and index") {
  const gantry::test::scratch_folder f;
  const fs::path file = f.path() / "pets.gpack";
  const std::string hash = pack(file);
  CHECK(is_packed(file));
  CHECK(fs::file_size(file) == 2 * packed_page + 4 * 257 + 4 * 5 + 5 + 18);
  const packed_images opened = open_packed(file);
  const image_set& set = *opened.images;
  CHECK(set.size() == 5);
  CHECK(hwc{set.height, set.width, set.channels} == hwc{2, 3, 3});
  CHECK(set.pixels.empty());
  CHECK(set.name == "pets");
  CHECK(set.labels == labels);
  for (int i = 0; i < 5; ++i) {
    const auto pixels = set.image(static_cast<std::size_t>(i));
    CHECK(bytes(pixels.begin(), pixels.end()) == image(i));
  }
  CHECK(opened.class_names == std::vector<std::string>{"cats", "no body", "dogs"});
  CHECK(opened.labels->present() == bytes{0, 2});
  CHECK(index_list(opened.labels->of(2).begin(), opened.labels->of(2).end()) == index_list{0, 3});
  CHECK(opened.contents() == hash);
  CHECK(hash == gantry::train::data_sha256(set));
  CHECK(opened.key() == std::string(62, '0') + "ab");
  CHECK(std::distance(fs::directory_iterator(f.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("packed file: writes that are short or interrupted are continued") {
  const gantry::test::scratch_folder f;
  pack(f.path() / "whole.gpack");
  const gantry::io::file_calls usual = gantry::io::file_system;
  gantry::io::file_system.write = [](int file, const void* from, std::size_t size) -> ssize_t {
    static int call = 0;
    errno = EINTR;
    return ++call % 2 == 0 ? -1 : ::write(file, from, std::min<std::size_t>(size, 1000));
  };
  pack(f.path() / "pieces.gpack");
  gantry::io::file_system = usual;
  CHECK(read(f.path() / "pieces.gpack") == read(f.path() / "whole.gpack"));
}

TEST_CASE("packed file: shards and batches look at the mapping, which outlives its opener") {
  const gantry::test::scratch_folder f;
  pack(f.path() / "pets.gpack");
  auto opened = std::make_unique<packed_images>(open_packed(f.path() / "pets.gpack"));
  const std::uint8_t* mapped = opened->images->all_pixels().data();
  shuffled_source source(shard_of_label(opened->images, *opened->labels, 2), 1, 0);
  const auto halves = partition(opened->images, iid{}, 2, 7);
  const label_index index = *opened->labels;
  opened.reset();
  fs::remove(f.path() / "pets.gpack");
  CHECK(source.samples().image(1).data() == mapped + 3 * 18);
  std::vector<float> batch(4 * 18);
  source.read(0, batch, 4);
  CHECK(source.labels(0, 4)[0] == 2);
  CHECK(halves[0].size() + halves[1].size() == 5);
  CHECK(index.of(0).size() == 3);
}

TEST_CASE("packed file: without labels") {
  const gantry::test::scratch_folder f;
  pack(f.path() / "plain.gpack", false);
  const packed_images opened = open_packed(f.path() / "plain.gpack");
  CHECK(opened.images->labels.empty());
  CHECK_FALSE(opened.labels);
  CHECK(opened.class_names.empty());
  CHECK(fs::file_size(f.path() / "plain.gpack") == 2 * packed_page);
  CHECK_THROWS_AS((void)labels_of(*opened.images), usage_error);
}

TEST_CASE("packed file: an unfinished or wrong one leaves nothing") {
  const gantry::test::scratch_folder f;
  {
    packed_writer writer(f.path() / "a.gpack", hwc{2, 3, 3}, 2);
    writer.append(image(0), 1);
    CHECK_THROWS_AS(writer.append(bytes(17), 1), usage_error);
    CHECK_THROWS_AS(writer.append(image(0), 2), usage_error);
    CHECK_THROWS_AS((void)writer.finish(names, {}), usage_error);
  }
  CHECK(fs::is_empty(f.path()));
  CHECK_THROWS_AS(packed_writer(f.path() / "a", hwc{2, 3, 2}, 0), usage_error);
  CHECK_THROWS_AS(packed_writer(f.path() / "a", hwc{2, 3, 1}, 257), usage_error);
  CHECK_THROWS_AS((void)packed_writer(f.path() / "a", hwc{2, 3, 1}, 0).finish({}, {}), usage_error);
  CHECK_THROWS_WITH_AS(packed_writer(f.path() / "no" / "a", hwc{2, 3, 1}, 0),
                       doctest::Contains("No such file"), gantry::error);
}

TEST_CASE("packed file: damaged ones are refused in one sentence") {
  const gantry::test::scratch_folder f;
  const fs::path file = f.path() / "pets.gpack", bad = f.path() / "bad.gpack";
  pack(file);
  const bytes good = read(file);
  const std::size_t tail = 2 * packed_page, order = tail + 4 * 257, first_label = order + 4 * 5;
  const auto refused = [&](const std::function<void(bytes&)>& damage, const std::string& part) {
    bytes contents = good;
    damage(contents);
    write(bad, contents);
    CAPTURE(part);
    CHECK_THROWS_WITH_AS((void)open_packed(bad), doctest::Contains(part.c_str()), data_error);
    CHECK_THROWS_WITH_AS((void)open_packed(bad), doctest::Contains(bad.c_str()), data_error);
  };
  refused([](bytes& b) { b.clear(); }, "a file with contents");
  refused([](bytes& b) { b[0] = 'g'; }, "begins with GPACK");
  refused([](bytes& b) { b.resize(7); }, "begins with GPACK");
  refused([](bytes& b) { b.resize(4095); }, "found 4095 bytes");
  refused([](bytes& b) { b[8] = 2; }, "found version 2");
  refused([](bytes& b) { b[200] = 1; }, "a header with its check sum");
  refused([](bytes& b) { b[4095] ^= 1; }, "a header with its check sum");
  refused([](bytes& b) { b.pop_back(); }, "bytes as its header says");
  refused([](bytes& b) { b.push_back(0); }, "bytes as its header says");
  refused([](bytes& b) { b.resize(packed_page); }, "bytes as its header says");
  refused([](bytes& b) { b[packed_page + 5] ^= 1; }, "they are damaged");
  refused([&](bytes& b) { b[first_label] = 0; }, "they are damaged");
  refused([&](bytes& b) { b[first_label] = 0, sign_tail(b, tail); }, "an index that fits");
  refused([&](bytes& b) { b[first_label + 1] = 200, sign_tail(b, tail); }, "an index that fits");
  refused([&](bytes& b) { b[order + 3] = 0xff, sign_tail(b, tail); }, "an index that fits");
  refused([&](bytes& b) { std::swap(b[order], b[order + 4]), sign_tail(b, tail); },
          "an index that fits");
  refused([&](bytes& b) { b[tail] = 1, sign_tail(b, tail); }, "an index that fits");
  refused([&](bytes& b) { b.back() = 'x', sign_tail(b, tail); }, "3 names of classes");
  refused([&](bytes& b) { b[first_label + 6] = '\n', sign_tail(b, tail); }, "3 names of classes");
  CHECK_THROWS_WITH_AS((void)open_packed(f.path() / "none"), doctest::Contains("No such file"),
                       data_error);
  CHECK_THROWS_AS((void)open_packed(f.path()), data_error);
  CHECK_FALSE(is_packed(f.path() / "none"));
  CHECK_FALSE(is_packed(f.path()));
  // The pixels' check sum is the only thing that may be left out.
  bytes contents = good;
  contents[packed_page + 5] ^= 1;
  write(bad, contents);
  CHECK(open_packed(bad, packed_check::all_but_pixels).images->size() == 5);
}

TEST_CASE("packed file: sizes in a header that overflow or are out of range") {
  const gantry::test::scratch_folder f;
  const fs::path file = f.path() / "pets.gpack", bad = f.path() / "bad.gpack";
  pack(file);
  const bytes good = read(file);
  struct change {
    std::size_t at;
    std::uint64_t value;
    std::size_t size;
  };
  const std::array<change, 12> changes{{{16, 0, 8},
                                        {16, ~std::uint64_t{0}, 8},
                                        {16, std::uint64_t{1} << 32, 8},
                                        {24, 0, 4},
                                        {24, 0xffffffff, 4},
                                        {28, 16385, 4},
                                        {32, 2, 4},
                                        {32, 0xffffffff, 4},
                                        {36, 257, 4},
                                        {40, ~std::uint64_t{0}, 8},
                                        {48, 1, 8},
                                        {12, 512, 4}}};
  for (const change& c : changes) {
    bytes contents = good;
    std::memcpy(contents.data() + c.at, &c.value, c.size);
    sign(contents);
    write(bad, contents);
    CAPTURE(c.at);
    CHECK_THROWS_WITH_AS((void)open_packed(bad), doctest::Contains("contradicts itself"),
                         data_error);
  }
  // The largest sizes that a header may have, with a file size that agrees: the file is too short.
  bytes contents = good;
  packed_header h = open_packed(file).header;
  h.count = 0xffffffff, h.height = h.width = 16384;
  const auto page = packed_page_codec::encode(h);
  std::copy(page.begin(), page.end(), contents.begin());
  write(bad, contents);
  CHECK_THROWS_WITH_AS((void)open_packed(bad), doctest::Contains("bytes as its header says"),
                       data_error);
}
