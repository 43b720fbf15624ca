// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/npy.hpp"

#include "scratch.hpp"

namespace gantry::inline v0::io {
namespace {

std::string text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_CASE("npy: a header of 64 bytes or a multiple, and the values") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const std::string file = text(encode_npy(values, {2, 3}));
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  header.resize(117, ' ');
  CHECK(file.substr(0, 128) == std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + "\n");
  REQUIRE(file.size() == 128 + 24);
  CHECK(std::memcmp(file.data() + 128, values.data(), 24) == 0);
  CHECK(test::contains(text(encode_npy(values, {6})), "'shape': (6,), }"));
  CHECK(test::contains(text(encode_npy(std::span(values).first(1), {})), "'shape': (), }"));
  CHECK(encode_npy({}, {0, 5}).size() % 64 == 0);
  CHECK_THROWS_AS((void)encode_npy(values, {2, 2}), usage_error);
  const std::vector<std::uint8_t> bytes{7, 8, 9};
  const std::string whole = text(encode_npy_bytes(bytes, {3, 1}));
  CHECK(test::contains(whole, "'descr': '|u1', 'fortran_order': False, 'shape': (3, 1), }"));
  CHECK(whole.substr(128) == "\x07\x08\x09");
  CHECK_THROWS_AS((void)encode_npy_bytes(bytes, {2}), usage_error);
}

TEST_CASE("npy: a file is written atomically") {
  const test::scratch_folder folder;
  const std::vector<float> values{1, 2};
  write_npy(folder / "z.npy", values, {2});
  CHECK(read_text(folder / "z.npy") == text(encode_npy(values, {2})));
  CHECK(folder.files() == 1);
}

}  // namespace
}  // namespace gantry::io
