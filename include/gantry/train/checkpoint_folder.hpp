// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint is a folder network-snapshot-<iteration>/ of safetensors files and a MANIFEST.json
// with the SHA-256 of each, written last. The folder is filled under another name and renamed when
// complete, so a checkpoint is whole or it does not exist (docs/13_checkpoints.md).
#pragma once

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/file_calls.hpp"
#include "gantry/io/json.hpp"
#include "gantry/io/json_value.hpp"
#include "gantry/io/sha256.hpp"

namespace gantry::inline v0::train {

inline constexpr std::string_view checkpoint_prefix = "network-snapshot-",
                                  manifest_format = "gantry-1";

namespace detail {

/// A JSON file; messages name it.
inline io::json::value read_json(const std::filesystem::path& path) {
  return io::json::parse(io::read_text(path), path.string());
}

}  // namespace detail

inline std::string checkpoint_name(std::uint32_t iteration) {
  char name[40];
  std::snprintf(name, sizeof name, "network-snapshot-%06u", iteration);
  return name;
}

/// The iteration in the name of a checkpoint's folder; nothing for any other name.
inline std::optional<std::uint32_t> iteration_of_checkpoint(std::string_view name) {
  if (!name.starts_with(checkpoint_prefix)) return std::nullopt;
  name.remove_prefix(checkpoint_prefix.size());
  std::uint32_t iteration{};
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), iteration);
  const bool is_number = failure == std::errc{} && end == name.data() + name.size();
  return is_number && name.size() >= 6 ? std::optional(iteration) : std::nullopt;
}

/// Where the files of a checkpoint are written until it is complete.
inline std::filesystem::path unfinished_checkpoint(const std::filesystem::path& root,
                                                   std::uint32_t iteration) {
  return root / ("." + checkpoint_name(iteration) + ".partial");
}

/// Where a checkpoint waits while a new one takes its name, on file systems that cannot exchange
/// two.
inline std::filesystem::path set_aside_checkpoint(const std::filesystem::path& root,
                                                  std::uint32_t iteration) {
  return unfinished_checkpoint(root, iteration) += ".old";
}

/// The iteration in the name of an unfinished checkpoint, or of one that is set aside.
inline std::optional<std::uint32_t> iteration_of_unfinished(std::string_view name) {
  if (name.ends_with(".old")) name.remove_suffix(4);
  if (!name.starts_with('.') || !name.ends_with(".partial")) return std::nullopt;
  return iteration_of_checkpoint(name.substr(1, name.size() - 9));
}

inline bool is_complete_checkpoint(const std::filesystem::path& folder) {
  std::error_code ignored;
  return std::filesystem::exists(folder / "MANIFEST.json", ignored);
}

/// Removes a folder, and its manifest first, so that it never passes for complete.
inline void discard_checkpoint(const std::filesystem::path& folder) {
  std::error_code ignored;
  std::filesystem::remove(folder / "MANIFEST.json", ignored);
  std::filesystem::remove_all(folder, ignored);
}

/// Gives a checkpoint its name back that was set aside when its run was killed, and removes those
/// that another has replaced. Only for the process that writes there, before it does.
/// @throws io::write_error
inline void restore_set_aside(const std::filesystem::path& root) {
  std::vector<std::uint32_t> found;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(root, missing)) {
    const std::string name = entry.path().filename().string();
    const auto iteration = iteration_of_unfinished(name);
    if (iteration && name.ends_with(".old")) found.push_back(*iteration);
  }
  for (const std::uint32_t iteration : found) {
    const auto aside = set_aside_checkpoint(root, iteration);
    const auto target = root / checkpoint_name(iteration);
    if (is_complete_checkpoint(target) || !is_complete_checkpoint(aside))
      discard_checkpoint(aside);
    else if (io::file_system.rename(aside.c_str(), target.c_str()) != 0 && errno != ENOENT)
      throw io::write_error("write", target, errno);
  }
}

/// Makes the unfinished folder, and either completes it or leaves nothing behind.
class checkpoint_writer {
 public:
  /// @throws io::write_error if the folder cannot be made
  checkpoint_writer(std::filesystem::path root, std::uint32_t iteration)
      : root_(std::move(root)),
        target_(root_ / checkpoint_name(iteration)),
        folder_(unfinished_checkpoint(root_, iteration)),
        aside_(set_aside_checkpoint(root_, iteration)) {
    restore_set_aside(root_);
    std::error_code failure;
    std::filesystem::remove_all(folder_, failure);
    if (!failure) std::filesystem::create_directories(root_, failure);
    if (failure) throw io::write_error("write", folder_, failure.value());
    if (io::file_system.make_folder(folder_.c_str(), 0777) != 0)
      throw io::write_error("write", folder_, errno);
  }
  checkpoint_writer(const checkpoint_writer&) = delete;
  checkpoint_writer& operator=(const checkpoint_writer&) = delete;
  /// Removes what is under the unfinished name: a checkpoint that failed, or the one that had the
  /// iteration before.
  ~checkpoint_writer() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

  /// Writes the manifest and gives the folder its name. @returns SHA-256 of the manifest, which
  /// stands for the whole checkpoint. @throws io::write_error; earlier checkpoints are as they were
  std::string commit() {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      paths.push_back(entry.path());
    std::ranges::sort(paths);
    io::json::object files;
    for (const auto& path : paths) files.set(path.filename().string(), io::sha256_file(path));
    const std::string manifest =
        io::json::dump(io::json::object{{"format", manifest_format}, {"sha256", files}}, 2) + "\n";
    io::write_file_atomic(folder_ / "MANIFEST.json", manifest);
    if (!take_name() || !io::sync_folder(root_)) throw io::write_error("write", target_, errno);
    return io::sha256_hex(io::text_bytes(manifest));
  }

 private:
  /// A checkpoint that already has the name changes places with the new one. Where the file system
  /// cannot do that in one step, it is set aside first (see restore_set_aside). False with errno
  /// set.
  [[nodiscard]] bool take_name() const {
    const io::file_calls& files = io::file_system;
    std::error_code ignored;
    if (!std::filesystem::exists(target_, ignored))
      return files.rename(folder_.c_str(), target_.c_str()) == 0;
    if (files.exchange(folder_.c_str(), target_.c_str()) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS) return false;
    if (files.rename(target_.c_str(), aside_.c_str()) != 0) return false;
    if (files.rename(folder_.c_str(), target_.c_str()) != 0) {
      const int reason = errno;
      (void)files.rename(aside_.c_str(), target_.c_str());
      errno = reason;
      return false;
    }
    discard_checkpoint(aside_);
    return true;
  }

  std::filesystem::path root_, target_, folder_, aside_;
};

/// The complete checkpoints in a run's folder by iteration, the earliest first.
inline std::vector<std::pair<std::uint32_t, std::filesystem::path>> complete_checkpoints(
    const std::filesystem::path& root) {
  std::vector<std::pair<std::uint32_t, std::filesystem::path>> found;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(root, missing)) {
    const auto iteration = iteration_of_checkpoint(entry.path().filename().string());
    if (iteration && is_complete_checkpoint(entry.path()))
      found.emplace_back(*iteration, entry.path());
  }
  std::ranges::sort(found);
  return found;
}

/// The complete checkpoint with the highest iteration in a run's folder, if there is one.
inline std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& root) {
  const auto found = complete_checkpoints(root);
  return found.empty() ? std::nullopt : std::optional(found.back().second);
}

/// A checkpoint and its score, lower is better.
struct scored_checkpoint {
  std::uint32_t iteration{};
  double score{};
};

/// Removes the complete checkpoints of a run but the last `keep` up to this iteration and the best
/// one. Each first loses its name in one step, so that none is ever seen in part.
/// @throws io::write_error
inline void rotate_checkpoints(const std::filesystem::path& root, std::uint32_t iteration,
                               std::uint32_t keep, const std::optional<scored_checkpoint>& best) {
  auto found = complete_checkpoints(root);
  std::erase_if(found, [&](const auto& c) { return c.first > iteration; });
  if (found.size() > keep)
    found.resize(found.size() - keep);
  else
    found.clear();
  for (const auto& [saved_at, path] : found) {
    if (best && best->iteration == saved_at) continue;
    const std::filesystem::path going = unfinished_checkpoint(root, saved_at);
    std::error_code failure;
    std::filesystem::remove_all(going, failure);
    if (io::file_system.rename(path.c_str(), going.c_str()) != 0)
      throw io::write_error("remove", path, errno);
    std::filesystem::remove_all(going, failure);
    if (failure) throw io::write_error("remove", going, failure.value());
  }
}

namespace detail {

/// The hashes of the files of a checkpoint. @throws data_error
inline io::json::object manifest_of(const std::filesystem::path& folder) {
  const auto manifest_path = folder / "MANIFEST.json";
  if (!std::filesystem::exists(manifest_path))
    throw data_error(
        "expected a checkpoint folder with a MANIFEST.json at " + folder.string() +
        " and found none; give the folder of a run or one of its network-snapshot folders");
  const io::json::value manifest = read_json(manifest_path);
  const std::string& format = manifest.at("format").as_string();
  if (format != manifest_format)
    throw data_error("the checkpoint " + folder.string() + " was expected to be of the format " +
                     std::string(manifest_format) + " and is of " + io::in_quotes(format) +
                     "; read it with the version of Gantry that wrote it");
  return manifest.at("sha256").as_object();
}

inline void verify_file(const std::filesystem::path& folder, const std::string& name,
                        const io::json::value* hash) {
  if (!hash || !std::filesystem::exists(folder / name))
    throw data_error("the checkpoint " + folder.string() + " was expected to hold " + name +
                     " and does not; use an older checkpoint");
  const std::string found = io::sha256_file(folder / name);
  if (found != hash->as_string())
    throw data_error("the checkpoint file " + (folder / name).string() +
                     " was expected to have the SHA-256 " + hash->as_string().substr(0, 16) +
                     "... and has " + found.substr(0, 16) +
                     "...; it is damaged, use an older checkpoint");
}

}  // namespace detail

/// The state.json of a checkpoint, for who looks at no other file of it. @throws data_error if it
/// is not the one that the manifest lists
inline io::json::value verified_state(const std::filesystem::path& folder) {
  detail::verify_file(folder, "state.json", detail::manifest_of(folder).find("state.json"));
  return detail::read_json(folder / "state.json");
}

/// Checks every file of a checkpoint against its manifest. @throws data_error that names the first
/// file that differs
inline void verify_checkpoint(const std::filesystem::path& folder) {
  const io::json::object files = detail::manifest_of(folder);
  for (const auto& [name, hash] : files.members()) detail::verify_file(folder, name, &hash);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".safetensors") && !files.find(name))
      throw data_error("the checkpoint " + folder.string() +
                       " was expected to hold the weights that its manifest lists and also holds " +
                       name + "; move that file away");
  }
}

}  // namespace gantry::train
