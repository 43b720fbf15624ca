// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/io/celeba.hpp"
#include "gantry/io/image_files.hpp"
#include "gantry/io/open_images.hpp"

#include "archive_files.hpp"

namespace gantry::inline v0::io {
namespace {

using namespace test;

template <class Error = data_error>
std::string refusal(const std::filesystem::path& path, const std::string& attribute = "") {
  return message_of<Error>([&] { (void)open_images(path, {fake_codecs(), attribute}); });
}
any_image_source open(const std::filesystem::path& path, const std::string& attribute = "") {
  return open_images(path, {fake_codecs(), attribute});
}

TEST_CASE("open_image_folder: class folders as torchvision's ImageFolder") {
  const scratch_folder dir;
  write(dir / "dog/deep/b.png", fake_png(3));
  write(dir / "dog/a.PNG", fake_png(2));
  write(dir / "cat/9.png", fake_png(1));
  write(dir / "cat/10.png", fake_png(0));
  write(dir / "cat/notes.txt", {});
  write(dir / "readme.md", {});
  write(dir / ".git/x.png", fake_png(9));
  write(dir / "cat/._9.png", fake_png(9));
  std::filesystem::create_directory(dir / "empty");
  const any_image_source set = open(dir.path());
  REQUIRE(set.size() == 4);
  CHECK(set.classes() == 2);
  CHECK(set.class_name(0) == "cat");
  CHECK(set.class_name(1) == "dog");
  CHECK(labels_of(set) == std::vector{0, 0, 1, 1});
  for (int i = 0; i < 4; ++i) CHECK(pixel(set, static_cast<std::size_t>(i)) == i);
  CHECK(set.name(3) == (dir / "dog/deep/b.png").string());
  // ImageNet's layout: the classes are in train.
  const scratch_folder net;
  write(net / "train/n02/x.png", fake_png(1));
  write(net / "train/n01/x.png", fake_png(0));
  write(net / "val/x.png", fake_png(1));
  CHECK(open(net.path()).class_name(0) == "n01");
  CHECK(open(net.path()).size() == 2);
}

TEST_CASE("open_image_folder: flat folders have no labels, dataset.json gives them") {
  const scratch_folder dir;
  write(dir / "b.png", fake_png(1));
  write(dir / "more/a.png", fake_png(2));
  write(dir / "a.png", fake_png(0));
  const any_image_source set = open(dir.path());
  CHECK(set.classes() == 0);
  CHECK(set.label(2) == 0);
  for (int i = 0; i < 3; ++i) CHECK(pixel(set, static_cast<std::size_t>(i)) == i);
  write(dir / "dataset.json",
        bytes_of(R"({"labels": [["a.png", 2], ["b.png", 0], ["more\\a.png", 1]]})"));
  CHECK(labels_of(open(dir.path())) == std::vector{2, 0, 1});
  CHECK(open(dir.path()).classes() == 3);
  write(dir / "c.png", fake_png(3));
  CHECK(says(refusal(dir.path()), {"dataset.json", "none for c.png"}));
}

TEST_CASE("open_image_folder: refusals name what is there") {
  const scratch_folder dir;
  CHECK(says(refusal(dir.path()), {".png, .jpg or .jpeg", "found none;"}));
  write(dir / "a.webp", {});
  CHECK(says(refusal(dir.path()), {"found none, but a.webp"}));
  CHECK(says(refusal(dir / "nowhere"), {"found nothing"}));
  CHECK(says(refusal(dir / "a.webp"), {"found another file"}));
  CHECK(says(message_of<data_error>([&] { (void)open_image_folder(dir / "x", {}); }),
             {"a folder of images", "nothing"}));
  std::filesystem::create_directory_symlink(dir.path(), dir / "again");
  CHECK(says(refusal(dir.path()), {"in at most 32 folders"}));
  const scratch_folder bad;
  write(bad / "empty.png", {});
  write(bad / "text.png", bytes_of("hello"));
  write(bad / "photo.jpg", {0xFF, 0xD8, 0xFF, 0xE0});
  const any_image_source set = open(bad.path());
  const auto refused = [&](std::size_t i) {
    return message_of<data_error>([&] { (void)pixel(set, i); });
  };
  CHECK(says(refused(0), {"empty.png", "an empty file"}));
  CHECK(says(refused(1), {"photo.jpg", "a JPEG file, which it was built without", "libjpeg62"}));
  CHECK(says(refused(2), {"text.png", "a PNG or JPEG image", "other contents"}));
  std::filesystem::remove(bad / "text.png");
  CHECK(says(refused(2), {"text.png", "a readable file", "No such file"}));
}

TEST_CASE("open_celeba: an attribute becomes the label") {
  const scratch_folder dir;
  write(dir / "img_align_celeba/1.jpg", fake_png(1));
  write(dir / "img_align_celeba/2.jpg", fake_png(2));
  const std::string table = "2\nMale Smiling\n1.jpg -1  1\n2.jpg  1 -1\n";
  write(dir / "list_attr_celeba.txt", bytes_of(table));
  const any_image_source plain = open(dir.path());
  CHECK(plain.size() == 2);
  CHECK(plain.classes() == 0);
  CHECK(pixel(plain, 1) == 2);
  const any_image_source smiling = open(dir.path(), "Smiling");
  CHECK(labels_of(smiling) == std::vector{1, 0});
  CHECK(smiling.class_name(0) == "not Smiling");
  CHECK(smiling.class_name(1) == "Smiling");
  CHECK(contains(refusal<usage_error>(dir.path(), "Hat"), "choose one of Male, Smiling"));
  CHECK(contains(refusal<usage_error>(dir / "img_align_celeba", "Male"), "only CelebA has"));
  const auto with = [&](const std::string& text) {
    write(dir / "list_attr_celeba.txt", bytes_of(text));
    return refusal(dir.path());
  };
  CHECK(says(with(""), {"found 0 of them"}));
  CHECK(says(with("3" + table.substr(1)), {"found 2 of them"}));
  CHECK(says(with(table.substr(0, table.size() - 4)), {"2 values of 1 or -1", "line 4"}));
  CHECK(says(with("1\nMale Smiling\n1.jpg 0 1\n"), {"line 3"}));
  CHECK(says(with("1\nMale\n../1.jpg 1\n"), {"plain file names"}));
  CHECK(says(with("1\nMale\n3.jpg 1\n"), {"the folder img_align_celeba with 3.jpg"}));
  std::filesystem::remove(dir / "list_attr_celeba.txt");
  write(dir / "list_attr_celeba.csv", bytes_of("image_id,Male,Smiling\r\n2.jpg,1,-1\r\n"));
  CHECK(labels_of(open(dir.path(), "Male")) == std::vector{1});
}

TEST_CASE("expand_shards: WebDataset's ranges") {
  const auto names = expand_shards("d/s-{08..11}.tar");
  REQUIRE(names.size() == 4);
  CHECK(names.front() == "d/s-08.tar");
  CHECK(names.back() == "d/s-11.tar");
  CHECK(expand_shards("plain.tar").size() == 1);
  CHECK_THROWS_AS((void)expand_shards("{5..4}.tar"), usage_error);
  CHECK_THROWS_AS((void)expand_shards("{0..4000000000}.tar"), usage_error);
  CHECK_THROWS_AS((void)expand_shards("{0..x}.tar"), usage_error);
}

/// Changes how many files may be open, in a process of its own; its exit code is that of `act`.
template <class Act>
int exit_code_with_files(rlim_t soft, rlim_t hard, Act act) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{soft, hard};
    std::_Exit(::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? act() : 99);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("open_images: more shards than files that a process starts with") {
  const scratch_folder dir;
  for (int i = 0; i < 100; ++i)
    write(dir.path() / ("s-" + std::to_string(100 + i) + ".tar"),
          tar_entry_of("a.png", fake_png(static_cast<std::uint8_t>(i))) + tar_end());
  const auto opened = [&] {
    const any_image_source set = open(dir.path());
    return set.size() == 100 && pixel(set, 99) == 99 ? 0 : 1;
  };
  CHECK(exit_code_with_files(80, 200, opened) == 0);
  const auto refused = [&] {
    const std::string sentence = refusal(dir.path());
    return says(sentence, {"s-100.tar", "163 files may be open", "found 100", "ulimit"}) ? 0 : 1;
  };
  CHECK(exit_code_with_files(80, 163, refused) == 0);
  const auto no_more = [&] {  // the reader's own sentence
    std::vector<random_reader> open_ones;
    const std::string sentence = message_of<data_error>([&] {
      for (int i = 0; i < 100; ++i) open_ones.emplace_back(dir / "s-100.tar");
    });
    return says(sentence, {"s-100.tar", "raise the limit"}) ? 0 : 1;
  };
  CHECK(exit_code_with_files(80, 80, no_more) == 0);
}

TEST_CASE("open_images: archives by their ending, shards of a folder in order") {
  const scratch_folder dir;
  write(dir / "set.zip", make_zip({{"a.png", fake_png(5), false}}));
  CHECK(pixel(open(dir / "set.zip"), 0) == 5);
  write(dir / "set.npy", npy_of("|u1", "(1, 1, 1)", {6}));
  CHECK(pixel(open(dir / "set.npy"), 0) == 6);
  write(dir / "set.npz", make_zip({{"images.npy", npy_of("|u1", "(1, 1, 1)", {7}), false}}));
  CHECK(pixel(open(dir / "set.npz"), 0) == 7);
  write(dir / "s/1.tar", tar_entry_of("b.png", fake_png(9)) + tar_end());
  write(dir / "s/0.tar", tar_entry_of("a.png", fake_png(8)) + tar_end());
  CHECK(pixel(open(dir / "s"), 0) == 8);
  CHECK(open(dir / "s/{0..1}.tar").size() == 2);
  CHECK(says(refusal(dir / "s/{0..2}.tar"), {"2.tar", "a readable file"}));
  CHECK(says(refusal(dir / "other.zip"), {"a readable file"}));
}

}  // namespace
}  // namespace gantry::io
