// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What nodes write into a checkpoint's folder and read from it: networks, optimizers, other values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/backend.hpp"
#include "gantry/concepts/layer.hpp"
#include "gantry/concepts/network.hpp"
#include "gantry/dist/network_state.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/nn/torch_layout.hpp"
#include "gantry/train/checkpoint_folder.hpp"
#include "gantry/train/torch_state.hpp"

namespace gantry::inline v0::train {

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

/// Weights and running statistics to start from, and their averages with them, from a PyTorch state
/// dictionary. @throws data_error as read_torch_state
template <class Net, class Opt, Backend B>
void read_initial(B& b, const std::filesystem::path& file,
                  dist::network_state<Net, Opt, B>& state) {
  std::vector<float> params(Net::param_count), buffers(Net::buffer_count);
  read_torch_state(file, Net::tensors(), params, buffers);
  for (const network_view<B>& view : {state.values(), state.averaged_values()}) {
    b.upload(params, view.params.data());
    b.upload(buffers, view.buffers.data());
  }
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

/// Reads what write_values wrote; each vector takes the length that was written, or with
/// `fitting_only` stays as it is where it has another one. @throws data_error if the file is
/// missing, damaged or another owner's
template <class Owner>
void read_values(const std::filesystem::path& path, Owner& owner, bool fitting_only = false) {
  if constexpr (HasValues<Owner>) {
    std::optional<io::safetensors_file> file;
    owner.visit_values([&](const std::string& name, std::vector<float>& values) {
      if (!file) file = io::safetensors_file::read(path);
      const std::span<const float> found = file->find<float>(name);
      if (!fitting_only || values.size() == found.size()) values.assign(found.begin(), found.end());
    });
  }
}

}  // namespace gantry::train
