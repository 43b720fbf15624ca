// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-train's --device cuda without a GPU: the same code for a preset, whose kernels run under
// the emulator of tests/simt. The smallest preset, some strategies, two arithmetics: enough to see
// that the program trains through the kernels as it does on the CPU.
#include "gantry/models/presets.hpp"

#include "gantry-train/cuda_devices.cuh"
#include "gantry-train/preset_on_cuda.cuh"

cuda_machine find_cuda_machine() { return count_devices(); }
std::shared_ptr<gantry::device_room> make_device_room(int local_rank) {
  return room_on_device(local_rank);
}
device_peaks take_device_peaks() { return take_peaks_of_pools(); }

const std::vector<preset>& cuda_presets() {
  using enum gantry::kernels::gemm_math;
  using some = strategy_pack<gantry::dist::md_gan, gantry::dist::standalone,
                             gantry::dist::federated_average>;
  static const std::vector<preset> all{
      preset_program<gantry::models::augmented<gantry::models::mlp28>, on_cuda<fp32, bf16>,
                     some>::entry()};
  return all;
}
