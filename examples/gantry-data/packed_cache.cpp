// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Packed copies of data sets and when they can be used again.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/base/hex.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/folder_walk.hpp"

#include "pack.hpp"

namespace {

namespace fs = std::filesystem;
using namespace gantry;

/// A file of a data set, and when and how long it was.
struct listed_file {
  std::string name;
  std::uintmax_t size{};
  fs::file_time_type::rep time{};
  auto operator<=>(const listed_file&) const = default;
};

/// Files below a folder that may be part of a data set: none that is hidden, and no packed one.
std::vector<listed_file> list_folder(const fs::path& folder) {
  std::vector<listed_file> files;
  io::for_each_below(folder, io::unreadable_folders::skipped, [&](const fs::directory_entry& at) {
    std::error_code unreadable;
    const bool packed = at.path().filename().string().find(".gpack") != std::string::npos;
    if (!packed && at.is_regular_file(unreadable))
      files.push_back({at.path().lexically_relative(folder).generic_string(),
                       at.file_size(unreadable),
                       at.last_write_time(unreadable).time_since_epoch().count()});
  });
  std::ranges::sort(files);
  return files;
}

std::string settings_text(const pack_settings& s) {
  return extents_text(s.image) + ", crop " + s.crop + ", filter " + s.filter + ", attribute " +
         s.attribute;
}

/// "faces-0123456789abcdef.gpack": the name that the user knows, and the key.
std::string cache_name(const fs::path& path, const io::sha256::digest_type& key) {
  std::string name = fs::absolute(path).lexically_normal().stem().string();
  if (name.empty()) name = fs::absolute(path).lexically_normal().parent_path().stem().string();
  return name + '-' + hex_of(std::span(key).first(8)) + ".gpack";
}

/// The copy of an earlier call, or nothing if there is none that is whole.
std::optional<data::packed_images> earlier_copy(const fs::path& file, hwc image,
                                                const io::sha256::digest_type& key) {
  std::error_code unreadable;
  if (!fs::exists(file, unreadable)) return std::nullopt;
  try {
    data::packed_images packed = data::open_packed(file);
    const data::image_set& set = *packed.images;
    const bool same = std::ranges::equal(std::as_bytes(std::span(packed.header.key)), key);
    if (same && hwc{set.height, set.width, set.channels} == image) return packed;
  } catch (const data_error&) {  // damaged: it is made again
  }
  return std::nullopt;
}

}  // namespace

io::sha256::digest_type pack_key(const fs::path& path, const pack_settings& settings) {
  io::sha256 hash;
  const auto add = [&](const std::string& text) { hash.update(io::text_bytes(text + '\n')); };
  add("gantry packed " + std::to_string(data::packed_version));
  add(settings_text(settings));
  const auto add_file = [&](const listed_file& file) {
    add(file.name + '\n' + std::to_string(file.size) + ' ' + std::to_string(file.time));
  };
  for (const fs::path& part : parts_of(path)) {
    std::error_code failed;
    const fs::path whole = fs::canonical(part, failed);
    if (fs::is_directory(whole, failed)) {
      add(whole.string());
      std::ranges::for_each(list_folder(whole), add_file);
    } else {
      add_file({whole.string(), fs::file_size(whole, failed),
                fs::last_write_time(whole, failed).time_since_epoch().count()});
    }
  }
  return hash.digest();
}

fitted_pictures fit_pictures(const fs::path& path, const pack_settings& settings,
                             const fs::path& cache) {
  if (data::is_packed(path)) {
    data::packed_images packed = data::open_packed(path);
    const data::image_set& set = *packed.images;
    if (hwc{set.height, set.width, set.channels} == settings.image)
      return {std::move(packed), "mapped " + path.string()};
  }
  const auto begin = std::chrono::steady_clock::now();
  const io::sha256::digest_type key = pack_key(path, settings);
  const fs::path file = cache / cache_name(path, key);
  if (auto packed = earlier_copy(file, settings.image, key)) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    return {std::move(*packed), "mapped " + file.string() + " of an earlier run in " +
                                    decimals(took.count(), 2) + " s"};
  }
  const picture_set pictures = open_pictures(path, settings.attribute);
  io::require_writable_directory(cache, "--data-cache");
  const train::pack_report report = pack(pictures, settings, file, key);
  return {data::open_packed(file, data::packed_check::all_but_pixels),
          pack_text(report, settings.image) + ", kept as " + file.string()};
}

fs::path user_cache() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  // The XDG base directory specification: a relative path is to be ignored.
  if (const auto cache = variable("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "gantry";
  const auto home = variable("HOME");
  return home.is_absolute() ? home / ".cache" / "gantry" : fs::path();
}
