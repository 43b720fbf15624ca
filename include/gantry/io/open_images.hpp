// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Data sets of encoded images, whatever their format: one path in, one type out.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <sys/resource.h>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/image_source.hpp"
#include "gantry/io/array_images.hpp"
#include "gantry/io/celeba.hpp"
#include "gantry/io/image_codec.hpp"
#include "gantry/io/image_files.hpp"
#include "gantry/io/image_zip.hpp"
#include "gantry/io/random_reader.hpp"
#include "gantry/io/refuse.hpp"
#include "gantry/io/webdataset.hpp"

namespace gantry::inline v0::io {

/// What the formats need beside a path.
struct open_options {
  image_codecs codecs;    ///< of io/installed_codecs.hpp, for instance
  std::string attribute;  ///< of CelebA, which becomes the label; "" for no labels
};

/// The names that WebDataset's "shard-{000000..000099}.tar" stands for; the text itself without
/// such braces. @throws usage_error if the range is no range, or one of more than 100,000
inline std::vector<std::filesystem::path> expand_shards(const std::string& text) {
  const std::size_t open = text.find('{');
  const std::size_t dots = open == text.npos ? text.npos : text.find("..", open);
  const std::size_t close = dots == text.npos ? text.npos : text.find('}', dots);
  if (close == text.npos) return {text};
  const std::string low = text.substr(open + 1, dots - open - 1);
  const std::string high = text.substr(dots + 2, close - dots - 2);
  const auto number = [&](const std::string& digits) {
    std::uint32_t value = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (failed != std::errc() || end != digits.data() + digits.size())
      throw usage_error("expected a range as {000000..000099} in " + text + ", found {" + low +
                        ".." + high + "}; write two numbers");
    return value;
  };
  const std::uint32_t first = number(low), last = number(high);
  if (first > last || last - first >= 100'000)
    throw usage_error("expected a range of 1 to 100000 shards in " + text + ", found {" + low +
                      ".." + high + "}; write the smaller number first");
  std::vector<std::filesystem::path> paths;
  for (std::uint32_t i = first; i <= last; ++i) {
    std::string digits = std::to_string(i);
    if (digits.size() < low.size()) digits.insert(0, low.size() - digits.size(), '0');
    paths.emplace_back(text.substr(0, open) + digits + text.substr(close + 1));
  }
  return paths;
}

namespace detail {

/// Shards stay open, so many of them need more files than a process starts with: asks the system
/// for all that it allows. @throws data_error if that is not enough
inline void make_room_for_files(std::size_t count, const std::string& first) {
  constexpr rlim_t others = 64;  // that the process has open beside them
  rlimit limit{};
  if (count <= others || ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (count > limit.rlim_max || limit.rlim_max - count < others)
    refuse_file(first,
                "a set of fewer shards, for " + std::to_string(limit.rlim_max) +
                    " files may be open at once here",
                std::to_string(count), "raise the limit with ulimit -Hn or make larger shards");
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);  // if it fails, so does opening, which says why
}

inline any_image_source open_shards(const std::vector<std::filesystem::path>& paths,
                                    const image_codecs& codecs) {
  make_room_for_files(paths.size(), paths.front().string());
  std::vector<random_reader> shards;
  for (const std::filesystem::path& path : paths) shards.emplace_back(path);
  return any_image_source(webdataset(std::move(shards), codecs));
}

/// The tar archives in a folder, in the order of their names.
inline std::vector<std::filesystem::path> tars_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code failed;
  std::filesystem::directory_iterator at(folder, failed);
  for (; !failed && at != std::filesystem::directory_iterator(); at.increment(failed))
    if (at->path().extension() == ".tar") found.push_back(at->path());
  std::ranges::sort(found);
  return found;
}

}  // namespace detail

/// Opens the data set at a path by what is there: CelebA's folder, a folder of images (or of its
/// sub-folder `train`, as ImageNet has it), a folder of WebDataset shards, one `.tar` or a range
/// `name-{000..099}.tar`, a StyleGAN `.zip`, a `.npz` or `.npy`.
/// @throws data_error if there is none or it is damaged, usage_error for an attribute it has not
inline any_image_source open_images(const std::filesystem::path& path, const open_options& o) {
  std::error_code unreadable;
  const bool celeba = !find_celeba_table(path).empty();
  if (!celeba && !o.attribute.empty())
    throw usage_error(path.string() + " has no attributes to choose \"" + o.attribute +
                      "\" from, which only CelebA has; leave the attribute out");
  if (celeba) return any_image_source(open_celeba(path, o.attribute, o.codecs));
  if (std::filesystem::is_directory(path, unreadable)) {
    const std::vector<std::filesystem::path> tars = detail::tars_in(path);
    if (!tars.empty()) return detail::open_shards(tars, o.codecs);
    const bool split = std::filesystem::is_directory(path / "train", unreadable);
    return any_image_source(open_image_folder(split ? path / "train" : path, o.codecs));
  }
  const std::string ending = path.extension().string();
  if (ending == ".tar") return detail::open_shards(expand_shards(path.string()), o.codecs);
  if (ending == ".zip") return any_image_source(image_zip(random_reader(path), o.codecs));
  if (ending == ".npz") return any_image_source(open_npz(random_reader(path)));
  if (ending == ".npy") return any_image_source(open_npy(random_reader(path)));
  refuse_file(path.string(), "a folder of images, or a .zip, .tar, .npz or .npy file",
              std::filesystem::exists(path, unreadable) ? "another file" : "nothing",
              "check the path");
}

}  // namespace gantry::io
