// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/png.hpp"
#include "gantry/io/tensorboard.hpp"

#include "scratch.hpp"
#include "support/faulty_files.hpp"

namespace gantry::inline v0::io {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

std::uint64_t number(std::span<const std::byte> from, std::size_t count) {
  std::uint64_t n = 0;
  for (std::size_t i = count; i-- > 0;) n = n << 8 | std::to_integer<std::uint64_t>(from[i]);
  return n;
}

/// The contents of the records of an event file, whose check sums must be right.
std::vector<std::vector<std::byte>> records(const std::filesystem::path& path) {
  const std::vector<std::byte> file = read_file(path);
  std::vector<std::vector<std::byte>> found;
  std::span<const std::byte> rest(file);
  while (!rest.empty()) {
    REQUIRE(rest.size() >= 16);
    const std::uint64_t size = number(rest, 8);
    CHECK(number(rest.subspan(8), 4) == masked_crc32c(rest.first(8)));
    REQUIRE(size <= rest.size() - 16);
    const auto content = rest.subspan(12, size);
    CHECK(number(rest.subspan(12 + size), 4) == masked_crc32c(content));
    found.emplace_back(content.begin(), content.end());
    rest = rest.subspan(16 + size);
  }
  return found;
}

bool holds(std::span<const std::byte> bytes, std::string_view part) {
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).find(part) !=
         std::string_view::npos;
}

TEST_CASE("CRC-32C gives the values of RFC 3720") {
  CHECK(crc32c({}) == 0);
  CHECK(crc32c(text_bytes("123456789")) == 0xE3069283U);
  CHECK(crc32c(std::vector<std::byte>(32)) == 0x8A9136AAU);
  CHECK(crc32c(std::vector<std::byte>(32, std::byte{0xFF})) == 0x62A8AB43U);
  CHECK(masked_crc32c(text_bytes("123456789")) ==
        ((0xE3069283U >> 15 | 0xE3069283U << 17) + 0xA282EAD8U));
}

TEST_CASE("protobuf messages have the wire format of the specification") {
  protobuf_message m;
  m.integer(1, 150);
  m.text(2, "testing");
  m.integer(3, -1);
  m.real32(4, 1.0F);
  m.real64(5, 1.0);
  m.packed(6, std::vector<double>{1.0});
  const std::string_view expected(
      "\x08\x96\x01"
      "\x12\x07testing"
      "\x18\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"
      "\x25\x00\x00\x80\x3F"
      "\x29\x00\x00\x00\x00\x00\x00\xF0\x3F"
      "\x32\x08\x00\x00\x00\x00\x00\x00\xF0\x3F",
      3 + 9 + 11 + 5 + 9 + 10);
  REQUIRE(m.encoded().size() == expected.size());
  CHECK(protobuf_message().integer(7, 1).fields_of(m).encoded().size() == 2 + expected.size());
  CHECK(std::memcmp(m.encoded().data(), expected.data(), expected.size()) == 0);
}

TEST_CASE("an event file begins with its version and the step from which it counts") {
  const test::scratch_folder folder;
  const event_file first(folder.path()), second(folder.path(), 7);
  CHECK(first.path().filename() < second.path().filename());
  CHECK(event_file::is_name(first.path().filename().string()));
  const auto found = records(second.path());
  REQUIRE(found.size() == 2);
  CHECK(holds(found[0],
              "\x1A\x0D"
              "brain.Event:2"));
  CHECK(holds(found[1], std::string_view("\x10\x07\x3A\x02\x08\x01", 6)));
  CHECK_THROWS_AS(event_file(folder / "missing"), error);
}

TEST_CASE("each step is one record with all of its values") {
  const test::scratch_folder folder;
  event_file file(folder.path());
  event_summary s;
  CHECK(s.is_empty());
  s.scalar("Loss/G/loss", 1.0);
  s.image("Samples/generated", encode_png({2, 1, 3, std::vector<std::uint8_t>(6)}));
  s.histogram("Weights", std::vector<float>{0, 1, nan, 1});
  s.text("Config", "**seed** 1");
  file.write(300, s);
  const auto found = records(file.path());
  REQUIRE(found.size() == 3);
  CHECK(holds(found[2], "\x10\xAC\x02"));  // step 300
  CHECK(holds(found[2], std::string_view("\x0A\x0BLoss/G/loss\x15\x00\x00\x80\x3F", 18)));
  CHECK(holds(found[2], "\x08\x01\x10\x02\x18\x03\x22"));  // height 1, width 2, RGB
  CHECK(holds(found[2], "\x42\x14\x08\x07\x12\x04\x12\x02\x08\x01\x42\x0A**seed** 1"));
}

TEST_CASE("a full disk leaves the records before and has the exit code of one") {
  const test::scratch_folder folder;
  event_file file(folder.path());
  event_summary s;
  s.scalar("Loss/G/loss", 1.0);
  file.write(1, s);
  const auto size = std::filesystem::file_size(file.path());
  try {
    const gantry::test::faulty_files faults(gantry::test::fault::fails, 0, ENOSPC);
    file.write(2, s);
    FAIL("the disk is full");
  } catch (const write_error& e) {
    CHECK(e.code() == exit_code::refused);
    CHECK(test::contains(e.what(), file.path().string()));
    CHECK(test::contains(e.what(), reason_of(ENOSPC)));
  }
  CHECK(std::filesystem::file_size(file.path()) == size);
}

TEST_CASE("histograms cover what is finite, and images have to be PNG files") {
  event_summary s;
  s.histogram("h", std::vector<float>{nan, -std::numeric_limits<float>::infinity()});
  s.histogram("h", {});
  CHECK(s.is_empty());
  s.histogram("flat", std::vector<float>(5, 2.0F));
  CHECK_FALSE(s.is_empty());
  CHECK_THROWS_AS(s.image("i", text_bytes("no picture at all, just a text")), usage_error);
  CHECK_THROWS_AS(s.image("i", {}), usage_error);
}

}  // namespace
}  // namespace gantry::io
