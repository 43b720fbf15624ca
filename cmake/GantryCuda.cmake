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

# gantry_vendor_library(<name> <header> <folder>): an include folder and a library, looked for where
# the folder and the CUDA Toolkit say.
function(gantry_vendor_library name header folder)
  find_path(GANTRY_${name}_INCLUDE_DIR ${header} HINTS "${folder}" ${CUDAToolkit_INCLUDE_DIRS}
            PATH_SUFFIXES include)
  set(versions "")
  if(folder)
    file(GLOB versions "${folder}/lib/lib${name}.so.*")
  endif()
  find_library(GANTRY_${name}_LIBRARY NAMES ${name} PATHS ${CUDAToolkit_LIBRARY_ROOT}
               HINTS "${folder}" ${CUDAToolkit_LIBRARY_DIR} "${CUDAToolkit_TARGET_DIR}"
               PATH_SUFFIXES lib lib64)
  if(NOT GANTRY_${name}_LIBRARY AND versions) # as Python's wheels have them
    list(GET versions 0 GANTRY_${name}_LIBRARY)
  endif()
  mark_as_advanced(GANTRY_${name}_INCLUDE_DIR GANTRY_${name}_LIBRARY)
  if(NOT GANTRY_${name}_INCLUDE_DIR OR NOT GANTRY_${name}_LIBRARY)
    message(FATAL_ERROR "GANTRY_CUDA_LIBRARIES is ON, but ${header} or lib${name} is not there: "
                        "install it or set GANTRY_CUBLAS and GANTRY_CUDNN in the environment to "
                        "folders with include/ and lib/.")
  endif()
  target_include_directories(gantry_vendor SYSTEM INTERFACE "${GANTRY_${name}_INCLUDE_DIR}")
  target_link_libraries(gantry_vendor INTERFACE "${GANTRY_${name}_LIBRARY}")
endfunction()

# For backend/cuda/vendor.cuh.
if(GANTRY_CUDA_LIBRARIES)
  find_package(CUDAToolkit REQUIRED)
  add_library(gantry_vendor INTERFACE)
  target_compile_definitions(gantry_vendor INTERFACE GANTRY_WITH_LIBRARIES)
  gantry_vendor_library(cublasLt cublasLt.h "$ENV{GANTRY_CUBLAS}")
  gantry_vendor_library(cudnn cudnn_backend.h "$ENV{GANTRY_CUDNN}")
endif()
