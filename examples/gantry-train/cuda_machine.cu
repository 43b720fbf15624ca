// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "cuda_devices.cuh"

cuda_machine find_cuda_machine() { return count_devices(); }
std::shared_ptr<gantry::device_room> make_device_room(int local_rank) {
  return room_on_device(local_rank);
}
device_peaks take_device_peaks() { return take_peaks_of_pools(); }
