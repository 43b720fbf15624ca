// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "cuda_devices.cuh"

#if defined(GANTRY_WITH_LIBRARIES)
#include "gantry/backend/cuda/vendor_library.cuh"

cuda_machine find_cuda_machine() {
  cuda_machine found = count_devices();
  found.libraries = true;
  return found;
}
std::size_t launches_without_plan() { return gantry::backend::launches_without_plan; }
#else
cuda_machine find_cuda_machine() { return count_devices(); }
std::size_t launches_without_plan() { return 0; }
#endif
std::shared_ptr<gantry::device_room> make_device_room(int local_rank) {
  return room_on_device(local_rank);
}
device_peaks take_device_peaks() { return take_peaks_of_pools(); }
