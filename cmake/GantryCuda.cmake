# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0

if(GANTRY_NO_cuda)
  message(FATAL_ERROR "GANTRY_CUDA is ON, but gantry::cuda is not there: ${GANTRY_NO_cuda}.")
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90)
endif()
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
