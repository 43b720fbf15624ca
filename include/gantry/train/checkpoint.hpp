// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint is a folder network-snapshot-<iteration>/ of safetensors files and a MANIFEST.json
// with the SHA-256 of each, written last. The folder is filled under another name and renamed when
// complete, so a checkpoint is whole or it does not exist.
#pragma once

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gantry/dist/network_state.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/json.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/io/sha256.hpp"
#include "gantry/nn/torch_layout.hpp"

namespace gantry::train {

/// Parameters and running statistics in PyTorch's names and layouts. @throws error if the file
/// cannot be written
template <Network Net>
void write_network(const std::filesystem::path& path, std::span<const float> params,
                   std::span<const float> buffers) {
  const std::vector<tensor_info> infos = Net::tensors();
  std::vector<std::vector<float>> values;
  std::vector<io::tensor_entry> entries;
  for (const tensor_info& info : infos) {
    const auto source = (info.is_buffer ? buffers : params).subspan(info.offset, info.size());
    values.emplace_back(info.size());
    nn::to_torch(info, source, std::span<float>(values.back()));
  }
  for (std::size_t i = 0; i < infos.size(); ++i)
    entries.push_back(io::tensor_entry::of<float>(infos[i].name, infos[i].shape, values[i]));
  io::write_safetensors(path, entries, {{"format", "pt"}});
}

/// Reads what write_network wrote. @throws data_error if the file is damaged or of another network
template <Network Net>
void read_network(const std::filesystem::path& path, std::span<float> params,
                  std::span<float> buffers) {
  const auto file = io::safetensors_file::read(path);
  const std::vector<tensor_info> infos = Net::tensors();
  for (const tensor_info& info : infos) {
    const auto source = file.find<float>(info.name, info.shape);
    nn::from_torch(info, source,
                   (info.is_buffer ? buffers : params).subspan(info.offset, info.size()));
  }
  if (file.tensors().size() != infos.size())
    throw data_error("the checkpoint " + path.string() + " was expected to hold " +
                     std::to_string(infos.size()) + " tensors and holds " +
                     std::to_string(file.tensors().size()) +
                     "; it was saved by another network, choose the --model that wrote it");
}

namespace detail {

/// Copies of a state's arenas in canonical host memory.
template <Backend B>
std::vector<float> downloaded(B& b, std::span<const typename B::scalar> source) {
  std::vector<float> copy(source.size());
  b.download(source.data(), copy);
  return copy;
}

/// A JSON file; messages name it.
inline io::json::value read_json(const std::filesystem::path& path) {
  return io::json::parse(io::read_text(path), path.string());
}

inline std::filesystem::path optimizer_file(const std::filesystem::path& folder,
                                            const std::string& name) {
  return folder / (name + "-optimizer.safetensors");
}

}  // namespace detail

/// Writes <name>.safetensors, <name>-optimizer.safetensors, and <name>_ema.safetensors where
/// weights are averaged.
template <class Net, class Opt, Backend B>
void write_state(B& b, const std::filesystem::path& folder, const std::string& name,
                 const dist::network_state<Net, Opt, B>& state) {
  const auto values = state.values();
  write_network<Net>(folder / (name + ".safetensors"),
                     detail::downloaded(b, std::span<const typename B::scalar>(values.params)),
                     detail::downloaded(b, std::span<const typename B::scalar>(values.buffers)));
  if constexpr (dist::network_state<Net, Opt, B>::averages) {
    const auto average = state.averaged_values();
    write_network<Net>(folder / (name + "_ema.safetensors"),
                       detail::downloaded(b, std::span<const typename B::scalar>(average.params)),
                       detail::downloaded(b, std::span<const typename B::scalar>(average.buffers)));
  }
  const auto moments =
      detail::downloaded(b, std::span<const typename B::scalar>(state.optimizer_state()));
  const auto averages =
      detail::downloaded(b, std::span<const typename B::scalar>(state.average_buffers()));
  const std::int64_t step = state.step;
  const auto length = [](std::size_t n) {
    return std::vector<std::int64_t>{static_cast<std::int64_t>(n)};
  };
  const std::array entries{
      io::tensor_entry::of<float>("state", length(moments.size()), std::span<const float>(moments)),
      io::tensor_entry::of<float>("average_buffers", length(averages.size()),
                                  std::span<const float>(averages)),
      io::tensor_entry::of<std::int64_t>("step", {1}, std::span<const std::int64_t>(&step, 1))};
  io::write_safetensors(detail::optimizer_file(folder, name), entries);
}

/// Reads what write_state wrote. @throws data_error if a file is missing, damaged or of another
/// network
template <class Net, class Opt, Backend B>
void read_state(B& b, const std::filesystem::path& folder, const std::string& name,
                dist::network_state<Net, Opt, B>& state) {
  std::vector<float> params(Net::param_count), buffers(Net::buffer_count);
  read_network<Net>(folder / (name + ".safetensors"), params, buffers);
  const auto file = io::safetensors_file::read(detail::optimizer_file(folder, name));
  const auto length = [](std::size_t n) {
    return std::vector<std::int64_t>{static_cast<std::int64_t>(n)};
  };
  const auto moments = file.find<float>("state", length(state.optimizer_state().size()));
  const auto averages = file.find<float>("average_buffers", length(state.average_buffers().size()));
  const auto step = file.find<std::int64_t>("step", length(1));
  b.upload(params, state.values().params.data());
  b.upload(buffers, state.values().buffers.data());
  b.upload(moments, state.optimizer_state().data());
  b.upload(averages, state.average_buffers().data());
  state.step = step[0];
}

/// Whatever else a role or a communicator remembers between rounds: visit_values(f) calls
/// f(name, std::vector<float>&) for each.
template <class Owner>
concept HasValues = requires(Owner& owner, void (*f)(const std::string&, std::vector<float>&)) {
  owner.visit_values(f);
};

/// Writes the values of an owner that has some.
template <class Owner>
void write_values(const std::filesystem::path& path, Owner& owner) {
  if constexpr (HasValues<Owner>) {
    // Copies: an owner may show a vector that it makes for the call.
    std::vector<std::pair<std::string, std::vector<float>>> shown;
    owner.visit_values([&](const std::string& name, std::vector<float>& values) {
      shown.emplace_back(name, values);
    });
    std::vector<io::tensor_entry> entries;
    for (const auto& [name, values] : shown)
      entries.push_back(io::tensor_entry::of<float>(
          name, {static_cast<std::int64_t>(values.size())}, std::span<const float>(values)));
    if (!entries.empty()) io::write_safetensors(path, entries);
  }
}

/// Reads what write_values wrote; each vector takes the length that was written. @throws data_error
/// if the file is missing, damaged or another owner's
template <class Owner>
void read_values(const std::filesystem::path& path, Owner& owner) {
  if constexpr (HasValues<Owner>) {
    std::optional<io::safetensors_file> file;
    owner.visit_values([&](const std::string& name, std::vector<float>& values) {
      if (!file) file = io::safetensors_file::read(path);
      const std::span<const float> found = file->find<float>(name);
      values.assign(found.begin(), found.end());
    });
  }
}

inline std::string checkpoint_name(std::uint32_t iteration) {
  char name[40];
  std::snprintf(name, sizeof name, "network-snapshot-%06u", iteration);
  return name;
}

/// Where the files of a checkpoint are written until it is complete.
inline std::filesystem::path unfinished_checkpoint(const std::filesystem::path& root,
                                                   std::uint32_t iteration) {
  return root / ("." + checkpoint_name(iteration) + ".partial");
}

/// Makes the unfinished folder, and either completes it or leaves nothing behind.
class checkpoint_writer {
 public:
  /// @throws std::filesystem::filesystem_error if the folder cannot be made
  checkpoint_writer(std::filesystem::path root, std::uint32_t iteration)
      : root_(std::move(root)),
        name_(checkpoint_name(iteration)),
        folder_(unfinished_checkpoint(root_, iteration)) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  checkpoint_writer(const checkpoint_writer&) = delete;
  checkpoint_writer& operator=(const checkpoint_writer&) = delete;
  ~checkpoint_writer() {
    std::error_code ignored;
    if (!committed_) std::filesystem::remove_all(folder_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

  /// Writes the manifest and gives the folder its name. @returns SHA-256 of the manifest, which
  /// stands for the whole checkpoint
  std::string commit() {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      paths.push_back(entry.path());
    std::ranges::sort(paths);
    io::json::object files;
    for (const auto& path : paths) files.set(path.filename().string(), io::sha256_file(path));
    const std::string manifest =
        io::json::dump(io::json::object{{"format", "gantry-1"}, {"sha256", files}}, 2) + "\n";
    io::write_file_atomic(folder_ / "MANIFEST.json", manifest);
    std::filesystem::remove_all(root_ / name_);
    std::filesystem::rename(folder_, root_ / name_);
    committed_ = true;
    io::sync_folder(root_);
    return io::sha256_hex(io::text_bytes(manifest));
  }

 private:
  std::filesystem::path root_;
  std::string name_;
  std::filesystem::path folder_;
  bool committed_{false};
};

/// The complete checkpoint with the highest iteration in a run's folder, if there is one.
inline std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& root) {
  std::optional<std::filesystem::path> best;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(root, missing)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("network-snapshot-") ||
        !std::filesystem::exists(entry.path() / "MANIFEST.json"))
      continue;
    if (!best || name.size() > best->filename().string().size() ||
        (name.size() == best->filename().string().size() && name > best->filename().string()))
      best = entry.path();
  }
  return best;
}

/// Checks every file of a checkpoint against its manifest. @throws data_error that names the first
/// file that differs
inline void verify_checkpoint(const std::filesystem::path& folder) {
  const auto manifest_path = folder / "MANIFEST.json";
  if (!std::filesystem::exists(manifest_path))
    throw data_error(
        "expected a checkpoint folder with a MANIFEST.json at " + folder.string() +
        " and found none; give the folder of a run or one of its network-snapshot folders");
  const io::json::value manifest = detail::read_json(manifest_path);
  for (const auto& [name, hash] : manifest.at("sha256").as_object().members()) {
    if (!std::filesystem::exists(folder / name))
      throw data_error("the checkpoint " + folder.string() + " was expected to hold " + name +
                       " and does not; use an older checkpoint");
    const std::string found = io::sha256_file(folder / name);
    if (found != hash.as_string())
      throw data_error("the checkpoint file " + (folder / name).string() +
                       " was expected to have the SHA-256 " + hash.as_string().substr(0, 16) +
                       "... and has " + found.substr(0, 16) +
                       "...; it is damaged, use an older checkpoint");
  }
}

}  // namespace gantry::train
