// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Networks from state dictionaries of PyTorch modules, saved as safetensors.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/concepts/layer.hpp"
#include "gantry/io/safetensors.hpp"
#include "gantry/io/utf8.hpp"
#include "gantry/io/wide_floats.hpp"
#include "gantry/nn/torch_layout.hpp"

namespace gantry::inline v0::train {

namespace detail {

/// What stands before our names where the torch.nn.Sequential is a child of a module, as in
/// PyTorch's DCGAN example, or of a DataParallel one.
inline constexpr std::array<std::string_view, 4> torch_prefixes{"", "main.", "module.",
                                                                "module.main."};

/// Counts the batches that a torch.nn.BatchNorm2d has seen; training with a momentum needs it not.
inline bool is_batch_counter(std::string_view name) {
  return name == "num_batches_tracked" || name.ends_with(".num_batches_tracked");
}

[[noreturn]] inline void refuse_state(const std::filesystem::path& path, const std::string& found) {
  throw data_error("the PyTorch state " + path.string() +
                   " was expected to be that of the chosen networks and " + found +
                   "; choose the --model that it belongs to, or convert it "
                   "(docs/13_checkpoints.md)");
}

/// The prefix with which a file has the most tensors of the network.
inline std::string_view torch_prefix(const io::safetensors_file& file,
                                     const std::vector<tensor_info>& infos) {
  const auto held = [&](std::string_view prefix) {
    return std::ranges::count_if(infos, [&](const tensor_info& info) {
      return file.find(std::string(prefix) + info.name) != nullptr;
    });
  };
  return *std::ranges::max_element(torch_prefixes, {}, held);
}

}  // namespace detail

/// Reads a network with these tensors from the state dictionary of a torch.nn.Sequential of the
/// same layers, alone or as a module's child `main`, in any floating point type. Counters of
/// batches are passed over.
/// @throws data_error if the file is damaged, lacks a tensor, holds another one or one of another
/// shape, or has a number that is not finite
inline void read_torch_state(const std::filesystem::path& path,
                             const std::vector<tensor_info>& infos, std::span<float> params,
                             std::span<float> buffers) {
  const auto file = io::safetensors_file::read(path);
  const std::string prefix(detail::torch_prefix(file, infos));
  std::size_t known = 0;
  for (const io::tensor_entry& entry : file.tensors()) {
    const bool is_ours = std::ranges::any_of(
        infos, [&](const tensor_info& info) { return entry.name == prefix + info.name; });
    if (!is_ours && !detail::is_batch_counter(entry.name))
      detail::refuse_state(path, "also holds the tensor " + io::in_quotes(entry.name));
    known += is_ours ? 1 : 0;
  }
  for (const tensor_info& info : infos) {
    const io::tensor_entry* entry = file.find(prefix + info.name);
    if (!entry)
      detail::refuse_state(path, "lacks the tensor " + io::in_quotes(prefix + info.name) +
                                     " (it holds " + std::to_string(known) + " of " +
                                     std::to_string(infos.size()) + ")");
    if (entry->shape != info.shape)
      detail::refuse_state(path, "has the tensor " + io::in_quotes(entry->name) + " of the shape " +
                                     io::shape_text(entry->shape) + " instead of " +
                                     io::shape_text(info.shape));
    if (!io::is_floating(entry->dtype))
      detail::refuse_state(path, "has the tensor " + io::in_quotes(entry->name) + " of " +
                                     entry->dtype + " numbers instead of floating point ones");
    const std::vector<float> values = io::to_floats(*entry);
    if (!std::ranges::all_of(values, [](float v) { return std::isfinite(v); }))
      detail::refuse_state(path,
                           "has a number in " + io::in_quotes(entry->name) + " that is not finite");
    nn::from_torch(info, std::span<const float>(values),
                   (info.is_buffer ? buffers : params).subspan(info.offset, info.size()));
  }
}

}  // namespace gantry::train
