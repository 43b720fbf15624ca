// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-onnx: the averaged generator of a checkpoint of gantry-train as an ONNX model. The exit
// codes are those of gantry/base/error.hpp.
#include <array>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "gantry/models/modern.hpp"
#include "gantry/models/presets.hpp"
#include "gantry/train/checkpoint_folder.hpp"
#include "gantry/train/onnx_export.hpp"

#include "guarded.hpp"
#include "options.hpp"

namespace {

using namespace gantry;
namespace fs = std::filesystem;

struct exporter {
  std::string_view name;
  void (*write)(const fs::path& weights, const fs::path& model);
};
template <class... Presets>
constexpr std::array<exporter, sizeof...(Presets)> exporters_of() {
  return {exporter{Presets::name, &train::export_onnx<typename Presets::generator>}...};
}
/// Those whose generators consist of layers with an operator; the others have classes or filters.
constexpr auto exporters =
    exporters_of<models::mlp28, models::cnn28, models::dcgan28, models::dcgan32, models::dcgan64,
                 models::wgan_gp32, models::wgan_gp32_narrow, models::sngan32,
                 models::sngan32_narrow>();

int run(const onnx_options& o) {
  const auto& [from, model, quiet, given] = o;
  for (const setting& s : given)
    if (!quiet) std::printf("setting: %s\n", described(s).c_str());
  const auto latest =
      train::is_complete_checkpoint(from) ? std::optional(from) : train::latest_checkpoint(from);
  const fs::path folder = latest.value_or(from);
  train::verify_checkpoint(folder);
  const std::string name = train::detail::read_json(folder / "config.json").at("model").as_string();
  std::string known;
  for (const exporter& e : exporters) {
    if (e.name == name) {
      e.write(folder / "generator_ema.safetensors", model);
      if (!quiet)
        std::printf("generator of %s from %s: %s\n", name.c_str(), folder.c_str(), model.c_str());
      return static_cast<int>(exit_code::done);
    }
    known += (known.empty() ? "" : ", ") + std::string(e.name);
  }
  throw data_error("the checkpoint " + folder.string() + " was expected to be of one of " + known +
                   " and is of " + name +
                   ", whose generator has layers without an ONNX operator "
                   "here; take another checkpoint");
}

}  // namespace

int main(int argc, char** argv) {
  return guarded({"gantry-onnx", "end other programs"}, [&] {
    const auto options = parse_options(argc, argv);
    return options ? run(*options) : static_cast<int>(exit_code::done);
  });
}
