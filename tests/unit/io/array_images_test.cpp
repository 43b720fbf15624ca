// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/io/array_images.hpp"

#include "archive_files.hpp"

namespace gantry::inline v0::io {
namespace {

using namespace test;

/// 0, 1, 2, ...
bytes counting(std::size_t n) {
  bytes out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(i);
  return out;
}
array_images open(const bytes& file) { return open_npy(random_reader(file, "some.npy")); }
std::string refusal(const bytes& file) {
  return message_of<data_error>([&] { (void)open(file); });
}

TEST_CASE("open_npy: layouts") {
  image8 out;
  const array_images grey = open(npy_of("|u1", "(2, 2, 3)", counting(12)));
  REQUIRE(grey.size() == 2);
  CHECK(grey.classes() == 0);
  CHECK(grey.name(1) == "some.npy[1]");
  grey.decode(1, out);
  CHECK(out == image8{2, 3, 1, {6, 7, 8, 9, 10, 11}});
  open(npy_of("|u1", "(1, 2, 2, 3)", counting(12))).decode(0, out);
  CHECK(out == image8{2, 2, 3, counting(12)});
  open(npy_of("|u1", "(1, 3, 2, 2)", counting(12))).decode(0, out);
  CHECK(out == image8{2, 2, 3, {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}});
  open(npy_of("|u1", "(2, 1, 2, 2)", counting(8))).decode(1, out);
  CHECK(out == image8{2, 2, 1, {4, 5, 6, 7}});
  bytes second = npy_of("|u1", "(1, 1, 1)", {9});  // version 2.0 has a longer length
  second[6] = 2;
  second.insert(second.begin() + 10, {0, 0});
  open(second).decode(0, out);
  CHECK(out == image8{1, 1, 1, {9}});
}

TEST_CASE("open_npy: what is damaged or of another kind is refused") {
  const bytes good = npy_of("|u1", "(2, 2, 3)", counting(12));
  for (std::size_t n = 0; n < good.size(); ++n) REQUIRE(says(refusal(cut(good, n)), {"some.npy"}));
  CHECK(says(refusal(good + bytes{0}), {"12 bytes after the header", "13"}));
  CHECK(says(refusal(npy_of("|O", "(2,)", bytes(16))), {"type |O"}));
  CHECK(says(refusal(npy_of("<f4", "(1, 1, 1)", bytes(4))), {"whole numbers", "type <f4"}));
  CHECK(says(refusal(npy_of(">i8", "(1, 1, 1)", bytes(8))), {"type >i8"}));
  CHECK(says(refusal(npy_of("<i8", "(1, 1, 1)", bytes(8))),
             {"uint8", "type <i8 and shape (1, 1, 1)"}));
  CHECK(says(refusal(npy_of("|u1", "(12,)", counting(12))), {"shape (12)"}));
  CHECK(says(refusal(npy_of("|u1", "(2, 2, 2, 4)", bytes(32))), {"shape (2, 2, 2, 4)"}));
  CHECK(says(refusal(npy_of("|u1", "(0, 4, 4)", {})), {"shape (0, 4, 4)"}));
  CHECK(says(refusal(npy_of("|u1", "(4294967296, 4294967296, 4294967296)", {})), {"2^61"}));
  CHECK(says(refusal(npy_of("|u1", "(99999999999999999999, 1, 1)", {})), {"extents"}));
  CHECK(says(refusal(npy_of("|u1", "(2, -2, 3)", counting(12))), {"extents"}));
  CHECK(says(refusal(make_npy("{'descr': '|u1', 'fortran_order': True, 'shape': (1, 1, 1)}", {1})),
             {"C order", "Fortran"}));
  CHECK(says(
      refusal(make_npy("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1,)}", {1})),
      {"records"}));
  for (const char* bad : {"", "{", "{}", "{'descr': '|u1'}", "{'x': 1}", "{'shape': (1, 1, 1}",
                          "{'descr': '|u1', 'descr': '|u1'}", "{'fortran_order': No}",
                          "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 1)} more"}) {
    CAPTURE(bad);
    CHECK(says(refusal(make_npy(bad, {1})), {"some.npy"}));
  }
  bytes version = good;
  version[6] = 4;
  CHECK(says(refusal(version), {"1.0 to 3.0"}));
  bytes length = good;
  put(length, 8, {0xFF, 0xFF});
  CHECK(says(refusal(length), {"one of 65535"}));
}

TEST_CASE("open_npz: images and labels by name, stored and deflated") {
  const bytes images = npy_of("|u1", "(3, 1, 1)", {40, 41, 42});
  const bytes labels = npy_of("<i8", "(3,)", number(1, 8) + number(0, 8) + number(2, 8));
  const auto with = [](const std::vector<zip_file>& files) {
    return open_npz(random_reader(make_zip(files), "set.npz"));
  };
  const array_images set = with({{"images.npy", images, true}, {"labels.npy", labels, false}});
  CHECK(set.size() == 3);
  CHECK(labels_of(set) == std::vector{1, 0, 2});
  CHECK(set.classes() == 3);
  CHECK(pixel(set, 2) == 42);
  CHECK(set.name(2) == "set.npz:images.npy[2]");
  CHECK(with({{"arr_0.npy", images, false}}).classes() == 0);
  const auto refused = [&](const std::vector<zip_file>& files) {
    return message_of<data_error>([&] { (void)with(files); });
  };
  const zip_file good{"images.npy", images, false};
  CHECK(says(refused({{"weights.npy", images, false}}), {"an array named images"}));
  CHECK(says(refused({good, {"labels.npy", npy_of("|u1", "(2,)", {0, 1}), false}}),
             {"3 labels, one per image", "found 2"}));
  CHECK(says(refused({good, {"labels.npy", npy_of("|u1", "(3, 2)", bytes(6)), false}}),
             {"set.npz:labels.npy", "shape (n,)"}));
  CHECK(says(refused({good, {"labels.npy", npy_of("|i1", "(3,)", {0, 0xFF, 1}), false}}),
             {"labels from 0"}));
  CHECK(says(refused({good, {"labels.npy", npy_of("<u4", "(1,)", number(65535, 4)), false}}),
             {"labels from 0"}));
  CHECK(says(refused({{"images.npy", cut(images, images.size() - 1), true}}),
             {"set.npz:images.npy", "3 bytes after the header"}));
}

}  // namespace
}  // namespace gantry::io
