# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Options of the build and `gantry_house`, the target that carries the flags of the programs built
# here (warnings, -march=native, sanitizers). It is never installed nor linked by gantry::gantry.

option(GANTRY_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(GANTRY_BUILD_EXAMPLES "Build the examples and gantry-train" ${PROJECT_IS_TOP_LEVEL})
option(GANTRY_BUILD_BENCHMARKS "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(GANTRY_NATIVE "Compile the programs for this machine's CPU" ${PROJECT_IS_TOP_LEVEL})
option(GANTRY_TOGETHER "Compile several sources of a program in one translation unit" ON)
option(GANTRY_WERROR "Treat warnings as errors" OFF)
# Off unless it is asked for: nvcc takes minutes, and a machine that has it may have no GPU.
option(GANTRY_CUDA "Enable the CUDA language, build .cu files and gantry-train --device cuda" OFF)
option(GANTRY_CUDA_LIBRARIES "Build gantry-train --kernels vendor: cuBLASLt and cuDNN" OFF)
option(GANTRY_NCCL "Build gantry-train --transport nccl; needs GANTRY_CUDA" OFF)
option(GANTRY_FUZZ "Build the libFuzzer programs of tests/fuzz (clang++)" OFF)
set(GANTRY_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread")
set(GANTRY_ALL_PRESETS
    mlp28 cnn28 dcgan28 dcgan32 dcgan64 acgan28 wgan_gp32 wgan_gp32_narrow sngan32 sngan32_narrow
    wcgan32 r3gan32 r3gan32_narrow biggan64 biggan64_narrow)
set(GANTRY_PRESETS "${GANTRY_ALL_PRESETS}" CACHE STRING "GAN presets built into gantry-train")
set(GANTRY_CUDA_PRESETS
    mlp28 cnn28 dcgan28 dcgan32 dcgan64 acgan28 wgan_gp32 wgan_gp32_narrow sngan32 sngan32_narrow
    wcgan32 r3gan32_narrow
    CACHE STRING "Those of them that gantry-train has for --device cuda, if GANTRY_CUDA is ON")

string(REPLACE "," ";" GANTRY_SANITIZE "${GANTRY_SANITIZE}")
string(REPLACE "," ";" GANTRY_PRESETS "${GANTRY_PRESETS}")
string(REPLACE "," ";" GANTRY_CUDA_PRESETS "${GANTRY_CUDA_PRESETS}")
foreach(preset IN LISTS GANTRY_PRESETS)
  if(NOT preset IN_LIST GANTRY_ALL_PRESETS)
    message(FATAL_ERROR "GANTRY_PRESETS holds \"${preset}\", which is no preset; "
                        "choose among ${GANTRY_ALL_PRESETS}.")
  endif()
endforeach()
foreach(sanitizer IN LISTS GANTRY_SANITIZE)
  if(NOT sanitizer MATCHES "^(address|undefined|leak|thread)$")
    message(FATAL_ERROR "GANTRY_SANITIZE holds \"${sanitizer}\", which is no sanitizer; "
                        "use address,undefined or thread.")
  endif()
endforeach()
if("thread" IN_LIST GANTRY_SANITIZE AND NOT GANTRY_SANITIZE STREQUAL "thread")
  message(FATAL_ERROR "GANTRY_SANITIZE mixes thread with another sanitizer, which no compiler "
                      "supports; build twice, once with thread and once with the others.")
endif()

if(PROJECT_IS_TOP_LEVEL)
  get_property(multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
  if(NOT multi_config AND NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug, RelWithDebInfo or MinSizeRel" FORCE)
  endif()
  set(CMAKE_CXX_EXTENSIONS OFF)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
endif()

add_library(gantry_house INTERFACE)
# A flag for the C++ compiler only: nvcc understands none of these.
function(gantry_house_options)
  foreach(flag IN LISTS ARGN)
    target_compile_options(gantry_house INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${flag}>")
  endforeach()
endfunction()

gantry_house_options(-Wall -Wextra -Wpedantic -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Wrong for the AVX-512 intrinsics that Eigen uses (GCC bug 105593) and for "literal" + string
  # (GCC bug 105651).
  gantry_house_options(-Wno-maybe-uninitialized -Wno-uninitialized -Wno-restrict -Wno-array-bounds
                       -Wno-stringop-overflow)
endif()
if(GANTRY_WERROR)
  gantry_house_options(-Werror)
endif()
if(GANTRY_NATIVE)
  gantry_house_options(-march=native)
endif()
if(GANTRY_SANITIZE)
  string(REPLACE ";" "," sanitizers "${GANTRY_SANITIZE}")
  # -O1 comes after the build type's own level and wins: -O0 makes training tests take minutes.
  gantry_house_options(-fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer
                       -O1 -g1)
  target_link_options(gantry_house INTERFACE -fsanitize=${sanitizers})
  target_compile_definitions(gantry_house INTERFACE _GLIBCXX_ASSERTIONS)
endif()
