// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-train's --device cuda without a GPU: the same code for presets whose kernels run under the
// emulator of tests/simt. The smallest preset with all strategies and two arithmetics; one with
// convolutions, batch norm, dropout and labels, and one with residual blocks and a penalty, each
// with one strategy: enough to see that the program trains through the kernels as it does on the
// CPU.
#include "gantry/models/modern.hpp"
#include "gantry/models/presets.hpp"

#include "gantry-train/cuda_devices.cuh"
#include "gantry-train/preset_on_cuda.cuh"

cuda_machine find_cuda_machine() { return count_devices(); }
std::shared_ptr<gantry::device_room> make_device_room(int local_rank) {
  return room_on_device(local_rank);
}
device_peaks take_device_peaks() { return take_peaks_of_pools(); }
std::size_t launches_without_plan() { return 0; }

namespace {

template <class Networks, class Strategies, gantry::kernels::gemm_math... Math>
preset emulated() {
  return preset_program<gantry::models::augmented<Networks>, on_cuda<Math...>, Strategies>::entry();
}

}  // namespace

const std::vector<preset>& cuda_presets() {
  using namespace gantry;
  using enum kernels::gemm_math;
  static const std::vector<preset> all{
      emulated<models::mlp28, strategies, fp32, bf16>(),
      emulated<models::acgan28, strategy_pack<dist::md_gan>, fp32>(),
      emulated<models::wgan_gp32_narrow, strategy_pack<dist::standalone>, fp32>()};
  return all;
}
