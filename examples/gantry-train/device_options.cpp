// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <CLI/CLI.hpp>

#include "checks.hpp"
#include "cuda_machine.hpp"
#include "device_options.hpp"

namespace {

/// Samples come from the networks of the checkpoint, which nobody has read yet.
bool of_checkpoint(const program_options& o) { return o.sample > 0 && !o.from.empty(); }

/// What --device cuda was expected with, what was found and what to do; empty if all is there.
std::string cuda_complaint(const program_options& o, const model_info& model,
                           const cuda_machine& machine) {
  if (!machine.built)
    return "a build of gantry-train with CUDA and came with one without; configure with "
           "-DGANTRY_CUDA=ON or use --device cpu";
  if (!model.on_cuda && !of_checkpoint(o))
    return "networks that this build has for it and came with " + o.model +
           "; add them to GANTRY_CUDA_PRESETS and build again or use --device cpu";
  if (o.kernels == "vendor" && !machine.libraries)
    return "a build of gantry-train with cuBLASLt and cuDNN for --kernels vendor and came with one "
           "without; configure with -DGANTRY_CUDA_LIBRARIES=ON or use --kernels own";
  if (machine.devices == 0)
    return "a GPU with its driver and came with none; use --device cpu or a machine that has one";
  return {};
}

}  // namespace

void add_device_flags(CLI::App& app, program_options& o) {
  app.add_option("--device", o.device,
                 "where networks run; auto: on a GPU if there is one that can train them")
      ->check(one_of({"cpu", "cuda", "auto"}));
  app.add_option("--precision", o.precision,
                 "arithmetic of products with --device cuda; sums and weights are fp32")
      ->check(one_of({"fp32", "tf32", "bf16"}));
  app.add_option("--kernels", o.kernels,
                 "who multiplies with --device cuda; vendor: cuBLASLt and cuDNN, for comparison")
      ->check(one_of({"own", "vendor"}));
  app.add_option(
         "--device-messages", o.device_messages,
         "what --transport mpi does with values on a device: hands MPI pointers to them, or "
         "copies in the host's memory; auto: pointers where the library reports CUDA")
      ->check(one_of({"auto", "pointers", "staged"}));
}

void resolve_device(const model_info& model, program_options& o) {
  if (of_checkpoint(o) && o.device == "auto") o.device = "cpu";
  if (o.device != "cpu") {
    const std::string complaint = cuda_complaint(o, model, find_cuda_machine());
    if (o.device == "cuda" && !complaint.empty())
      throw gantry::usage_error("--device cuda was expected with " + complaint);
    o.device = complaint.empty() ? "cuda" : "cpu";
  }
  if (o.device_messages != "auto" && (o.device == "cpu" || o.transport != "mpi"))
    throw gantry::usage_error(
        "--device-messages " + o.device_messages +
        " was expected with --device cuda and --transport mpi and came with " + o.device + " and " +
        o.transport + "; leave it out");
  for (const auto& [flag, value, usual] :
       {std::array<std::string, 3>{"--precision ", o.precision, "fp32"},
        {"--kernels ", o.kernels, "own"}})
    if (o.device == "cpu" && value != usual)
      throw gantry::usage_error(flag + value +
                                " was expected with --device cuda and came with cpu; leave it out");
}
