// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/nn/batch_norm.hpp"
#include "gantry/nn/conv_transpose2d.hpp"
#include "gantry/nn/sequential.hpp"
#include "gantry/train/torch_state.hpp"

#include "unit/io/scratch.hpp"

namespace gantry::inline v0::train {
namespace {

using io::tensor_entry;
using io::test::contains;
using io::test::message_of;
using io::test::scratch_folder;

/// torch.nn.Sequential(ConvTranspose2d(3, 2, 2, 1, 0, bias=False), BatchNorm2d(2))
using net = sequential<latent<3>, conv_transpose2d<2, 2, 1, 0, bias::no>, batch_norm>;

/// The state dictionary of such a module, written under a prefix.
struct state {
  std::vector<float> weight = std::vector<float>(24), one{1, 2}, two{3, 4}, three{5, 6}, four{7, 8};
  std::int64_t batches{9};
  std::vector<tensor_entry> entries;
  explicit state(const std::string& prefix = "") {
    for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(i);
    entries = {tensor_entry::of<float>(prefix + "0.weight", {3, 2, 2, 2}, weight),
               tensor_entry::of<float>(prefix + "1.weight", {2}, one),
               tensor_entry::of<float>(prefix + "1.bias", {2}, two),
               tensor_entry::of<float>(prefix + "1.running_mean", {2}, three),
               tensor_entry::of<float>(prefix + "1.running_var", {2}, four),
               tensor_entry::of<std::int64_t>(prefix + "1.num_batches_tracked", {},
                                              std::span<const std::int64_t>(&batches, 1))};
  }
};

struct network {
  std::vector<float> params = std::vector<float>(net::param_count),
                     buffers = std::vector<float>(net::buffer_count);
  bool operator==(const network&) const = default;
};

network read(const scratch_folder& folder, const std::vector<tensor_entry>& entries) {
  io::write_safetensors(folder / "g.safetensors", entries);
  network n;
  read_torch_state(folder / "g.safetensors", net::tensors(), n.params, n.buffers);
  return n;
}

TEST_CASE("a state dictionary is read under each of the names that modules give it") {
  const scratch_folder folder;
  const network plain = read(folder, state().entries);
  CHECK(plain.buffers == std::vector<float>{5, 6, 7, 8});
  // PyTorch's [in][out][h][w] of (2, 1, 0, 1) is 2*8 + 1*4 + 0*2 + 1.
  for (const tensor_info& info : net::tensors())
    if (info.name == "0.weight") {
      std::vector<float> torch(24);
      nn::to_torch(info, std::span<const float>(plain.params).subspan(info.offset, 24),
                   std::span<float>(torch));
      CHECK(torch[21] == 21.0f);
    }
  for (const char* prefix : {"main.", "module.", "module.main."})
    CHECK(read(folder, state(prefix).entries) == plain);
  state other;
  other.entries.pop_back();
  CHECK(read(folder, other.entries) == plain);
}

TEST_CASE("other floating point types are converted") {
  const scratch_folder folder;
  state s;
  const std::vector<double> wide{1, 2};
  const std::vector<std::uint16_t> half{0x4200, 0x4400}, brain{0x40A0, 0x40C0};
  s.entries[1] = tensor_entry::of<double>("1.weight", {2}, wide);
  s.entries[2] = {"1.bias", "F16", {2}, std::as_bytes(std::span(half))};
  s.entries[3] = {"1.running_mean", "BF16", {2}, std::as_bytes(std::span(brain))};
  CHECK(read(folder, s.entries) == read(folder, state().entries));
}

TEST_CASE("a state dictionary of other networks is refused in a sentence") {
  const scratch_folder folder;
  const auto refusal = [&](const std::vector<tensor_entry>& entries) {
    const auto message = message_of<data_error>([&] { read(folder, entries); });
    CHECK(contains(message, (folder / "g.safetensors").string()));
    CHECK(contains(message, "choose the --model that it belongs to"));
    return message;
  };
  state s("main.");
  std::vector<tensor_entry> less(s.entries.begin(), s.entries.end() - 2);
  CHECK(contains(refusal(less), "lacks the tensor \"main.1.running_var\" (it holds 4 of 5)"));
  std::vector<tensor_entry> more = s.entries;
  more.push_back(tensor_entry::of<float>("main.2.bias", {2}, s.one));
  CHECK(contains(refusal(more), "also holds the tensor \"main.2.bias\""));
  std::vector<tensor_entry> reshaped = s.entries;
  reshaped[0].shape = {2, 3, 2, 2};
  CHECK(contains(refusal(reshaped),
                 "\"main.0.weight\" of the shape [2, 3, 2, 2] instead of [3, 2, 2, 2]"));
  std::vector<tensor_entry> integers = s.entries;
  const std::vector<std::int64_t> whole{1, 2};
  integers[1] = tensor_entry::of<std::int64_t>("main.1.weight", {2}, whole);
  CHECK(contains(refusal(integers), "\"main.1.weight\" of I64 numbers instead of floating"));
  for (const float bad : {std::nanf(""), HUGE_VALF}) {
    s.weight[3] = bad;
    CHECK(contains(refusal(s.entries), "a number in \"main.0.weight\" that is not finite"));
  }
  CHECK(contains(refusal({}), "lacks the tensor \"0.weight\" (it holds 0 of 5)"));
}

TEST_CASE("halves and bfloat16 become floats exactly") {
  using io::half_to_float;
  CHECK(half_to_float(0x3C00) == 1.0f);
  CHECK(half_to_float(0xC000) == -2.0f);
  CHECK(half_to_float(0x7BFF) == 65504.0f);
  CHECK(half_to_float(0x0400) == std::ldexp(1.0f, -14));
  CHECK(half_to_float(0x03FF) == std::ldexp(1023.0f, -24));
  CHECK(half_to_float(0x0001) == std::ldexp(1.0f, -24));
  CHECK(std::signbit(half_to_float(0x8000)));
  CHECK(half_to_float(0xFC00) == -HUGE_VALF);
  CHECK(std::isnan(half_to_float(0x7E01)));
  CHECK(io::bfloat16_to_float(0x3FC0) == 1.5f);
  CHECK(std::isnan(io::bfloat16_to_float(0x7FC0)));
}

}  // namespace
}  // namespace gantry::train
