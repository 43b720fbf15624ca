# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0

if(GANTRY_NO_cuda)
  message(FATAL_ERROR "GANTRY_CUDA is ON, but gantry::cuda is not there: ${GANTRY_NO_cuda}.")
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90)
endif()
enable_language(CUDA)
# CMake before 3.25.2 does not know that nvcc has C++20, so CMAKE_CUDA_STANDARD cannot say it.
target_compile_options(gantry_house INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>")
# Kernels call constexpr functions of the library; the notes are about branches
# that a template's arguments decide.
target_compile_options(
  gantry_house
  INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-diag-suppress=177,186,554,3189>")
