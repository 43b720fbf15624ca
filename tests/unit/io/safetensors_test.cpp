// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/safetensors.hpp"

#include "scratch.hpp"

namespace gantry::inline v0::io {
namespace {

using test::contains;
using test::message_of;

std::vector<std::byte> file_of(const std::string& header, std::size_t data_bytes) {
  std::vector<std::byte> bytes(8 + header.size() + data_bytes, std::byte{1});
  const std::uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  std::memcpy(bytes.data() + 8, header.data(), header.size());
  return bytes;
}

std::string refusal(const std::vector<std::byte>& bytes) {
  const std::string message =
      message_of<data_error>([&] { safetensors_file::parse(bytes, "m.safetensors"); });
  CHECK(contains(message, "m.safetensors"));
  return message;
}
std::string refusal(const std::string& header, std::size_t data_bytes = 0) {
  return refusal(file_of(header, data_bytes));
}

/// A header with one tensor "w".
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

/// Two tensors "a" and "b" of the given offsets, U8 vectors.
std::string two(int a0, int a1, int b0, int b1) {
  const auto entry = [](const char* name, int begin, int end) {
    return std::string("\"") + name + R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) +
           R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
  };
  return "{" + entry("a", a0, a1) + "," + entry("b", b0, b1) + "}";
}

struct sample {
  std::vector<float> f{1.5F, -0.0F, std::nanf(""), 4.0F, 5.0F, 6.0F};
  std::vector<double> d{0.1};
  std::vector<std::int64_t> i{-1, std::int64_t{1} << 62};
  std::vector<std::uint8_t> u{1, 2, 255};
  std::vector<tensor_entry> entries{
      tensor_entry::of<std::uint8_t>("bytes", {3}, u),
      tensor_entry::of<float>("conv.weight", {2, 3}, f), tensor_entry::of<double>("scalar", {}, d),
      tensor_entry::of<std::int64_t>("step", {2}, i), tensor_entry::of<float>("empty", {0, 4}, {})};
};

TEST_CASE("safetensors round trip keeps names, order, shapes, bits and metadata") {
  const test::scratch_folder folder;
  const sample s;
  const tensor_metadata metadata{{"format", "pt"}, {"note", "\u00fc \"x\""}};
  write_safetensors(folder / "m.safetensors", s.entries, metadata);
  const safetensors_file file = safetensors_file::read(folder / "m.safetensors");
  CHECK(file.metadata() == metadata);
  REQUIRE(file.tensors().size() == s.entries.size());
  for (std::size_t t = 0; t < s.entries.size(); ++t) {
    CHECK(file.tensors()[t].name == s.entries[t].name);
    CHECK(file.tensors()[t].dtype == s.entries[t].dtype);
    CHECK(file.tensors()[t].shape == s.entries[t].shape);
  }
  const auto f = file.find<float>("conv.weight");
  REQUIRE(f.size() == s.f.size());
  for (std::size_t k = 0; k < f.size(); ++k) {
    CHECK(std::bit_cast<std::uint32_t>(f[k]) == std::bit_cast<std::uint32_t>(s.f[k]));
  }
  CHECK(file.find<double>("scalar")[0] == 0.1);
  CHECK(file.find<std::int64_t>("step")[1] == std::int64_t{1} << 62);
  CHECK(file.find<std::uint8_t>("bytes")[2] == 255);
  CHECK(file.find<float>("empty").empty());
}

TEST_CASE("safetensors tensors are aligned even where the file's are not") {
  const sample s;
  const safetensors_file moved = [&] {
    safetensors_file file = safetensors_file::parse(encode_safetensors(s.entries), "m");
    return safetensors_file(std::move(file));
  }();
  for (const tensor_entry& t : moved.tensors()) {
    CHECK(reinterpret_cast<std::uintptr_t>(t.data.data()) % 8 == 0);
  }
  CHECK(moved.find<std::int64_t>("step")[0] == -1);
}

TEST_CASE("safetensors bytes are deterministic and laid out as the format says") {
  const std::vector<float> w{1.0F};
  const std::array entries{tensor_entry::of<float>("w", {1}, w)};
  const std::vector<std::byte> bytes = encode_safetensors(entries, {{"format", "pt"}});
  CHECK(bytes == encode_safetensors(entries, {{"format", "pt"}}));
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data(), 8);
  CHECK(size == (header.size() + 7) / 8 * 8);
  const std::string text(reinterpret_cast<const char*>(bytes.data()) + 8, size);
  CHECK(text == header + std::string(size - header.size(), ' '));
  CHECK(bytes.size() == 8 + size + 4);
  const safetensors_file nothing = safetensors_file::parse(encode_safetensors({}), "m");
  CHECK(nothing.tensors().empty());
}

TEST_CASE("safetensors lookups name the tensor, the file and the mismatch") {
  const sample s;
  const safetensors_file file =
      safetensors_file::parse(encode_safetensors(s.entries), "g.safetensors");
  CHECK(file.find("none") == nullptr);
  CHECK(message_of<data_error>([&] { (void)file.find<float>("none"); }) ==
        "g.safetensors was expected to hold the tensor \"none\" and does not; check that it was "
        "saved by the same "
        "network");
  CHECK(contains(message_of<data_error>([&] { (void)file.find<double>("conv.weight"); }),
                 "expected to have dtype F64 and has F32"));
  const std::array<std::int64_t, 2> wrong{3, 2}, right{2, 3};
  CHECK(contains(message_of<data_error>([&] { (void)file.find<float>("conv.weight", wrong); }),
                 "expected to have shape [3, 2] and has [2, 3]"));
  CHECK(file.find<float>("conv.weight", right).size() == 6);
}

TEST_CASE("safetensors accepts what the format allows") {
  const safetensors_file nothing = safetensors_file::parse(file_of("{}", 0), "m");
  CHECK(nothing.tensors().empty());
  CHECK(safetensors_file::parse(file_of(one(R"("F32")", "[]", "[0,4]"), 4), "m")
            .find<float>("w")
            .size() == 1);
  const safetensors_file swapped = safetensors_file::parse(file_of(two(4, 6, 0, 4), 6), "m");
  CHECK(swapped.tensors()[0].name == "b");
  const safetensors_file with_empty = safetensors_file::parse(file_of(two(0, 4, 4, 4), 4), "m");
  CHECK(with_empty.tensors().size() == 2);
}

TEST_CASE("safetensors keeps the bytes of half precision, and names beyond ASCII") {
  const std::vector<std::byte> bytes(12, std::byte{7});
  const std::array entries{
      tensor_entry{"f16", "F16", {2, 1}, std::span(bytes).first(4)},
      tensor_entry{"b\u00e9\u00df\u6f22", "BF16", {4}, std::span(bytes).first(8)}};
  const auto encoded = encode_safetensors(entries);
  const safetensors_file file = safetensors_file::parse(encoded, "m");
  CHECK(file.tensors()[0].dtype == "F16");
  CHECK(file.tensors()[1].name == entries[1].name);
  CHECK(file.tensors()[1].data.size() == 8);
  CHECK(contains(message_of<data_error>([&] { (void)file.find<float>("f16"); }), "has F16"));
  CHECK(contains(refusal(one(R"("F16")", "[2]", "[0,2]"), 2), "needs 4 bytes"));
}

TEST_CASE("safetensors refuses a header that is nested too deep or is no UTF-8") {
  std::string deep(100000, '[');
  CHECK(contains(refusal("{\"w\":" + deep), "nested deeper than 64"));
  CHECK(contains(refusal(R"({"__metadata__":)" + std::string(70, '{')), "is not valid JSON"));
  for (const char* name : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"})
    CHECK(contains(refusal(std::string("{\"") + name + "\":{}}"), "expected valid UTF-8"));
  CHECK(contains(refusal(std::string("{\"a\0\":{}}", 9)), "a control character"));
  CHECK(contains(refusal(R"({"\ud800":{}})"), "surrogate pair stands alone"));
}

TEST_CASE("safetensors refuses a damaged frame") {
  CHECK(
      contains(refusal(std::vector<std::byte>(5)), "expected 8 bytes of header size and found 5"));
  std::vector<std::byte> bytes = file_of("{}", 0);
  bytes[0] = std::byte{3};
  CHECK(contains(refusal(bytes), "its header size is 3 and only 2 bytes follow"));
  const std::uint64_t huge = 100'000'001;
  std::memcpy(bytes.data(), &huge, 8);
  CHECK(contains(refusal(bytes), "its header size is 100000001 and at most 100000000 is allowed"));
  for (const char* header : {"", " {}", "[]", "1"})
    CHECK(contains(refusal(header), "does not start with '{'"));
  CHECK(contains(refusal("{\"a\""), "the header of m.safetensors is not valid JSON"));
  CHECK(contains(refusal("{} x"), "the header of m.safetensors is not valid JSON"));
}

TEST_CASE("safetensors refuses repeated keys") {
  const std::string entry = R"("w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  CHECK(contains(refusal("{" + entry + "," + entry + "}", 1), "key \"w\" twice"));
  CHECK(contains(refusal(R"({"__metadata__":{"a":"1","a":"2"}})"), "key \"a\" twice"));
}

TEST_CASE("safetensors refuses metadata that is not text") {
  CHECK(contains(refusal(R"({"__metadata__":{"a":1}})"),
                 "holds strings only and \"a\" is an integer"));
  CHECK(contains(refusal(R"({"__metadata__":[]})"), "expected to be an object and is an array"));
}

TEST_CASE("safetensors refuses entries that are no tensor") {
  CHECK(contains(refusal(R"({"w":1})"),
                 "tensor \"w\" is expected to be an object and is an integer"));
  const char* exact = "exactly the members dtype, shape and data_offsets";
  CHECK(contains(refusal(R"({"w":{"dtype":"F32","shape":[0]}})"), exact));
  CHECK(
      contains(refusal(R"({"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1}})"), exact));
  CHECK(contains(refusal(one("1", "[0]", "[0,0]")), "has a dtype that is no string"));
  CHECK(contains(refusal(one(R"("F8_E4M3")", "[1]", "[0,1]"), 1),
                 "has the dtype \"F8_E4M3\" and only F64, F32, F16, BF16, I64 and U8 are known"));
  CHECK(contains(refusal(one(R"("F32")", "4", "[0,4]"), 4), "has a shape that is no array"));
  for (const char* shape : {"[-1]", "[1.0]", "[\"1\"]", "[9223372036854775808]", "[null]"}) {
    CHECK(contains(refusal(one(R"("F32")", shape, "[0,4]"), 4),
                   "has a shape with an entry that is no integer"));
  }
  CHECK(contains(refusal(one(R"("F32")", "[1]", "[0]"), 4),
                 "has data_offsets of 1 numbers instead of 2"));
  CHECK(contains(refusal(one(R"("F32")", "[1]", "[-4,0]"), 4),
                 "data_offsets with an entry that is no integer"));
}

TEST_CASE("safetensors refuses sizes that do not match") {
  CHECK(contains(refusal(one(R"("F32")", "[2]", "[0,4]"), 4),
                 "needs 8 bytes for its dtype and shape"));
  CHECK(contains(refusal(one(R"("F32")", "[1]", "[4,0]"), 4), "begin at 4, after their end at 0"));
  CHECK(contains(refusal(one(R"("F32")", "[2]", "[0,8]"), 4),
                 "ends at byte 8 of the data and there are only 4"));
  const char* overflow = "whose size overflows";
  CHECK(contains(refusal(one(R"("F32")", "[4294967296,4294967296]", "[0,0]")), overflow));
  CHECK(contains(refusal(one(R"("F64")", "[9223372036854775807]", "[0,0]")), overflow));
  CHECK(contains(refusal(one(R"("U8")", "[9223372036854775807,2,0]", "[0,0]")), overflow));
}

TEST_CASE("safetensors refuses holes, overlaps and bytes without an owner") {
  CHECK(contains(refusal(two(0, 4, 6, 8), 8), "tensor \"b\" begins after a hole of 2 bytes"));
  CHECK(contains(refusal(two(2, 4, 4, 8), 8), "tensor \"a\" begins after a hole of 2 bytes"));
  CHECK(contains(refusal(two(0, 4, 2, 6), 6), "tensor \"b\" overlaps the one before it"));
  CHECK(contains(refusal(two(0, 4, 0, 4), 4), "overlaps the one before it"));
  CHECK(contains(refusal(two(0, 4, 2, 2), 4), "overlaps the one before it"));
  CHECK(contains(refusal(two(0, 4, 4, 8), 11), "3 bytes at its end belong to no tensor"));
  CHECK(contains(refusal("{}", 1), "1 bytes at its end belong to no tensor"));
}

TEST_CASE("safetensors writer refuses tensors that the reader would refuse") {
  const std::vector<float> w(4);
  const auto refused = [&](std::vector<tensor_entry> entries,
                           const tensor_metadata& metadata = {}) {
    return message_of<usage_error>([&] { encode_safetensors(entries, metadata); });
  };
  const tensor_entry good = tensor_entry::of<float>("w", {4}, w);
  CHECK(contains(refused({good, good}), "\"w\": the name is used twice"));
  CHECK(
      contains(refused({tensor_entry::of<float>("__metadata__", {4}, w)}), "choose another name"));
  CHECK(contains(refused({tensor_entry::of<float>("\xff", {4}, w)}), "choose another name"));
  CHECK(contains(refused({tensor_entry::of<float>("w", {5}, w)}),
                 "shape [5] does not fit its 16 bytes of F32"));
  CHECK(contains(refused({tensor_entry::of<float>("w", {-4}, w)}), "does not fit"));
  CHECK(contains(refused({{"w", "F8_E5M2", {16}, good.data}}), "dtype \"F8_E5M2\" is none of"));
  CHECK(contains(refused({{"w", "BF16", {4}, good.data}}), "does not fit its 16 bytes of BF16"));
  CHECK(contains(refused({good}, {{"a", "1"}, {"a", "2"}}), "one text per key"));
}

TEST_CASE("safetensors read names a missing or cut file") {
  const test::scratch_folder folder;
  CHECK(contains(message_of<data_error>([&] { safetensors_file::read(folder / "no"); }),
                 "cannot read"));
  std::vector<std::byte> bytes = encode_safetensors(sample{}.entries);
  bytes.resize(bytes.size() / 2);
  write_file_atomic(folder / "cut.safetensors", bytes);
  CHECK(
      contains(message_of<data_error>([&] { safetensors_file::read(folder / "cut.safetensors"); }),
               (folder / "cut.safetensors").string()));
}

TEST_CASE("safetensors never fails otherwise than with data_error on a damaged file") {
  const std::vector<std::byte> bytes = encode_safetensors(sample{}.entries, {{"format", "pt"}});
  const auto survives = [](const std::vector<std::byte>& damaged) {
    try {
      const safetensors_file file = safetensors_file::parse(damaged, "m");
      for (const tensor_entry& t : file.tensors()) {
        if (std::cmp_not_equal(t.data.size(),
                               element_count(t.shape) * std::int64_t(dtype_size(t.dtype)))) {
          return false;
        }
      }
    } catch (const data_error&) {}
    return true;
  };
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int byte = 0; byte < 256; ++byte) {
      std::vector<std::byte> damaged = bytes;
      damaged[i] = static_cast<std::byte>(byte);
      if (!survives(damaged)) FAIL_CHECK("byte ", i, " set to ", byte);
    }
    std::vector<std::byte> shorter = bytes;
    shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(i));
    CHECK(survives(shorter));
    CHECK_THROWS_AS(safetensors_file::parse(std::span(bytes).first(i), "m"), data_error);
  }
}

}  // namespace
}  // namespace gantry::io
