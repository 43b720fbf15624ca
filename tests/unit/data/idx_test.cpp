// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "gantry/data/idx.hpp"

#include "idx_files.hpp"

using gantry::data_error;
using namespace gantry::data;
using namespace idx_files;

namespace {

/// What reading these bytes as images is refused with, the path being replaced by FILE.
std::string refusal(const bytes& contents, const idx_rules& rules = {}) {
  const temporary_directory dir;
  const auto file = dir.write("set.idx", contents);
  std::string text = message_of<data_error>([&] { (void)read_idx_images(file, rules); });
  if (text.rfind(file.string(), 0) == 0) text.replace(0, file.string().size(), "FILE");
  return text;
}

bytes without_last(bytes contents, std::size_t n) {
  contents.resize(contents.size() - n);
  return contents;
}

}  // namespace

TEST_CASE("idx: images and labels come back, plain and gzip, whatever the name") {
  const temporary_directory dir;
  for (const bool zipped : {false, true}) {
    CAPTURE(zipped);
    const bytes raw = images(300, 28, 27);
    const idx_images set = read_idx_images(dir.write("a", zipped ? gzip(raw) : raw));
    CHECK(set.count == 300);
    CHECK(set.height == 28);
    CHECK(set.width == 27);
    CHECK(set.pixels == bytes(raw.begin() + 16, raw.end()));
    const bytes raw_labels = labels(300);
    const auto read = read_idx_labels(dir.write("b.gz", zipped ? gzip(raw_labels) : raw_labels));
    CHECK(read == bytes(raw_labels.begin() + 8, raw_labels.end()));
  }
}

TEST_CASE("idx: a set joins images and labels") {
  const temporary_directory dir;
  const auto image_file = dir.write("i", images(20, 4, 6)), label_file = dir.write("l", labels(20));
  const image_set set = read_idx_set(image_file, label_file, "toy", {4, 6, 10});
  CHECK(set.size() == 20);
  CHECK(set.height == 4);
  CHECK(set.width == 6);
  CHECK(set.channels == 1);
  CHECK(set.labels.size() == 20);
  CHECK(set.name == "toy");
  CHECK(set.image(3)[5] == (3 * 24 + 5) % 251);
}

TEST_CASE("idx: gzip members may follow one another") {
  const temporary_directory dir;
  const bytes raw = images(9, 5, 5);
  const bytes first(raw.begin(), raw.begin() + 100), second(raw.begin() + 100, raw.end());
  CHECK(read_idx_images(dir.write("a", gzip(first) + gzip(second))).pixels ==
        bytes(raw.begin() + 16, raw.end()));
}

TEST_CASE("idx: a missing file and a directory in its place are named") {
  const temporary_directory dir;
  const auto nowhere = dir.path() / "nowhere";
  CHECK(says(message_of<data_error>([&] { (void)read_idx_images(nowhere); }),
             {nowhere.string(), "expected a readable file", "No such file"}));
  CHECK(says(message_of<data_error>([&] { (void)read_idx_images(dir.path()); }),
             {dir.path().string(), "expected a file, found a directory"}));
}

TEST_CASE("idx: a wrong magic number is shown, exchanged files are recognised") {
  CHECK(says(refusal(idx({0x0badcafe, 1, 1, 1}, {0})),
             {"FILE: expected magic number 0x00000803 of IDX images, found 0x0badcafe"}));
  CHECK(says(refusal(labels(40)), {"found 0x00000801", "exchanged"}));
  CHECK(says(refusal(gzip(labels(40))), {"found 0x00000801", "exchanged"}));
  const temporary_directory dir;
  const auto file = dir.write("l", images(1, 2, 2));
  CHECK(says(message_of<data_error>([&] { (void)read_idx_labels(file); }),
             {file.string(), "0x00000801 of IDX labels", "found 0x00000803", "exchanged"}));
}

TEST_CASE("idx: a short header and short contents say how much there was") {
  CHECK(says(refusal({}), {"FILE: expected an IDX header of 16 bytes, found only 0"}));
  CHECK(says(refusal({0}), {"found only 1;"}));
  CHECK(says(refusal(idx({0x803, 1, 1}, {})), {"header of 16 bytes, found only 12"}));
  const bytes raw = images(10, 28, 28);
  CHECK(says(refusal(gzip(without_last(raw, 1))),
             {"10 images of 28 x 28 (7840 bytes after the header), found only 7839"}));
  CHECK(says(refusal(without_last(raw, 1)), {"7840 bytes", "found only 7839"}));
  CHECK(says(refusal(without_last(raw, 5000)), {"7840 bytes", "a file too small"}));
}

TEST_CASE("idx: bytes after the announced ones are refused") {
  CHECK(says(refusal(images(2, 3, 3) + bytes{0}), {"2 images of 3 x 3", "more bytes after them"}));
  CHECK(says(refusal(gzip(images(2, 3, 3) + bytes{0})), {"more bytes after them"}));
}

TEST_CASE("idx: gzip truncated anywhere is refused") {
  const bytes whole = gzip(images(6, 7, 7));
  for (std::size_t size = 2; size < whole.size(); ++size) {
    CAPTURE(size);
    const std::string text = refusal(without_last(whole, whole.size() - size));
    const bool refused = says(text, {"FILE: expected a complete gzip file, found its end after"});
    // Cut down to a few bytes, it may also be too small for what the header announces.
    CHECK((refused || says(text, {"FILE: expected 6 images", "too small"})));
  }
}

TEST_CASE("idx: gzip with a damaged byte or a wrong check sum is refused") {
  const bytes raw = images(6, 7, 7), whole = gzip(raw);
  bytes wrong_sum = whole, wrong_length = whole, wrong_header = whole;
  wrong_sum[whole.size() - 8] ^= 1;
  wrong_length[whole.size() - 4] ^= 1;
  wrong_header[2] = 7;
  CHECK(says(refusal(wrong_sum), {"FILE: expected intact gzip data", "incorrect data check"}));
  CHECK(says(refusal(wrong_length), {"expected intact gzip data", "incorrect length check"}));
  CHECK(says(refusal(wrong_header), {"expected intact gzip data", "compression method"}));
  const temporary_directory dir;
  int passed = 0;
  for (std::size_t i = 10; i < whole.size(); ++i) {
    CAPTURE(i);
    bytes damaged = whole;
    damaged[i] ^= 0x10;
    const auto file = dir.write("damaged", damaged);
    try {
      // Padding bits before the trailer mean nothing, so a change there may pass.
      const bytes pixels = read_idx_images(file).pixels;
      CHECK(pixels == bytes(raw.begin() + 16, raw.end()));
      ++passed;
    } catch (const data_error&) {}
  }
  CHECK(passed <= 1);
}

TEST_CASE("idx: bytes after the gzip data are refused") {
  const bytes whole = gzip(images(6, 7, 7));
  CHECK(says(refusal(whole + bytes{0, 0, 0}),
             {"FILE: expected the end of the file after the gzip data, found further bytes"}));
  CHECK(says(refusal(whole + bytes{0x1f, 0x8b}), {"expected a complete gzip file"}));
  CHECK(says(refusal(whole + bytes{0x1f, 0x00, 0x00}), {"expected intact gzip data"}));
}

TEST_CASE("idx: a header cannot announce more than the file can hold") {
  const bytes four_billion = idx({0x803, 0xffffffff, 28, 28}, {1, 2, 3, 4});
  CHECK(four_billion.size() == 20);
  CHECK(says(refusal(four_billion), {"4294967295 images of 28 x 28", "a file too small for them"}));
  CHECK(says(refusal(gzip(four_billion)), {"4294967295 images", "a file too small for them"}));
  CHECK(says(refusal(idx({0x803, 0xffffffff, 65536, 32768}, {})), {"a file too small"}));
  CHECK(says(refusal(idx({0x803, 0xffffffff, 0xffffffff, 0xffffffff}, {})),
             {"at least one image of 1 x 1 to 65536 x 32768, found 4294967295 images"}));
  CHECK(says(refusal(idx({0x803, 0, 28, 28}, {})), {"found 0 images of 28 x 28"}));
  CHECK(says(refusal(idx({0x803, 1, 0, 28}, {})), {"found 1 images of 0 x 28"}));
}

TEST_CASE("idx: images of another size than the caller's, and labels out of range, are refused") {
  CHECK(says(refusal(images(2, 32, 30), {.height = 28, .width = 28}),
             {"FILE: expected images of 28 x 28, found 32 x 30"}));
  CHECK(says(refusal(images(2, 28, 30), {.width = 28}), {"expected images of 28 x 28"}));
  const temporary_directory dir;
  const auto file = dir.write("l", idx({0x801, 3}, {1, 2, 10}));
  CHECK(says(message_of<data_error>([&] { (void)read_idx_labels(file, {.classes = 10}); }),
             {file.string(), "expected labels below 10, found 10 at position 2"}));
}

TEST_CASE("idx: labels and images of different count are refused") {
  const temporary_directory dir;
  const auto image_file = dir.write("i", images(20, 4, 4)), label_file = dir.write("l", labels(19));
  const std::string text =
      message_of<data_error>([&] { (void)read_idx_set(image_file, label_file, "toy"); });
  CHECK(says(text, {label_file.string(), "expected 20 labels", image_file.string(), "found 19",
                    "same split"}));
}

TEST_CASE("idx: contents in memory, plain and gzip, are read as files are") {
  for (const bytes& contents : {images(3, 4, 5), gzip(images(3, 4, 5))}) {
    byte_reader in(contents, "in memory");
    CHECK(read_idx_images(in).pixels.size() == 60);
    const bytes shorter = without_last(contents, 1);
    byte_reader cut(shorter, "in memory");
    CHECK(
        says(message_of<data_error>([&] { (void)read_idx_images(cut); }), {"in memory: expected"}));
  }
}
