# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests that run CUDA kernels on the CPU: the host's compiler builds them with tests/simt/ in the
# place of CUDA's headers.

set(GANTRY_SIMT_DIR "${PROJECT_SOURCE_DIR}/tests/simt")

# gantry_add_simt_test(NAME <name> SOURCES <files>... MODES <variable>=<value>...
#                      LABELS <labels>...)
# One program and its tests: <name>, which the sanitizers' stages run too (ThreadSanitizer takes
# every CUDA thread for a thread, so that it finds missing barriers), and one test per mode of the
# emulator (tests/simt/options.hpp).
function(gantry_add_simt_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "SOURCES;MODES;LABELS")
  if(NOT arg_SOURCES)
    return()
  endif()
  gantry_add_test(NAME ${arg_NAME} SOURCES ${arg_SOURCES} TOGETHER 4 LABELS ${arg_LABELS})
  if(NOT TARGET ${arg_NAME})
    return()
  endif()
  target_include_directories(${arg_NAME} BEFORE PRIVATE "${GANTRY_SIMT_DIR}/cuda")
  # Hundreds of instances: what optimising them gains, compiling them costs twice.
  target_compile_options(${arg_NAME} PRIVATE -Wno-unknown-pragmas -O1)
  foreach(mode IN LISTS arg_MODES)
    string(REGEX REPLACE "^SIMT_([A-Z]+)=" "\\1_" suffix "${mode}")
    string(TOLOWER "${suffix}" suffix)
    string(REPLACE ":" "" suffix "${suffix}")
    add_test(NAME ${arg_NAME}_${suffix} COMMAND ${arg_NAME})
    set_tests_properties(
      ${arg_NAME}_${suffix} PROPERTIES LABELS kernels TIMEOUT ${GANTRY_TIMEOUT_kernels}
                                       ENVIRONMENT "${GANTRY_TEST_ENVIRONMENT};${mode}")
  endforeach()
endfunction()

# gantry_add_emulated_program(<name> <sources>...): a program in bin/ whose CUDA sources the host's
# compiler builds.
function(gantry_add_emulated_program name)
  add_executable(${name} ${ARGN})
  target_include_directories(${name} BEFORE PRIVATE "${GANTRY_SIMT_DIR}/cuda")
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests"
                                             "${PROJECT_SOURCE_DIR}/kernels"
                                             "${PROJECT_SOURCE_DIR}/examples")
  target_compile_options(${name} PRIVATE -Wno-unknown-pragmas -O1)
  target_link_libraries(${name} PRIVATE gantry::gantry gantry_house)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endfunction()

# gantry_add_kernel_gate(<name> <script> [arguments...]): a test that skips itself with 77.
function(gantry_add_kernel_gate name)
  add_test(NAME ${name} COMMAND Python3::Interpreter -B ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS kernels SKIP_RETURN_CODE 77
                                          TIMEOUT ${GANTRY_TIMEOUT_kernels})
endfunction()

# What nvcc makes of the kernels (skipped where there is none), and, on request, whether the tests
# notice when a barrier, a fence or a mask is taken away.
function(gantry_add_kernel_gates)
  set(scripts "${PROJECT_SOURCE_DIR}/tests/kernels")
  gantry_add_kernel_gate(kernels_cubins "${scripts}/check_cubins.py")
  set_tests_properties(kernels_cubins PROPERTIES PROCESSORS 2)
  gantry_add_kernel_gate(kernels_cuda_program "${scripts}/check_cuda_program.py")
  gantry_add_kernel_gate(kernels_vendor "${scripts}/check_vendor.py")
  set(launches "${scripts}/check_launches.py" --compiler "${CMAKE_CXX_COMPILER}")
  add_test(NAME kernels_launches COMMAND Python3::Interpreter -B ${launches})
  set_tests_properties(kernels_launches PROPERTIES LABELS kernels PROCESSORS 2
                                                   TIMEOUT ${GANTRY_TIMEOUT_kernels})
  add_custom_target(
    gantry_kernel_launches
    COMMAND Python3::Interpreter -B ${launches} --presets all
    USES_TERMINAL)
  set(doctest_headers "$<TARGET_PROPERTY:doctest::doctest,INTERFACE_INCLUDE_DIRECTORIES>")
  set(gpu_tests "${scripts}/check_gpu_tests.py" --doctest "${doctest_headers}")
  gantry_add_kernel_gate(kernels_gpu_tests ${gpu_tests})
  # Minutes: every test that a machine with a GPU runs, by nvcc.
  add_custom_target(
    gantry_gpu_tests
    COMMAND Python3::Interpreter -B ${gpu_tests} --all
    USES_TERMINAL)
  # Prints every command that a machine with a GPU will run, and misses no source that it builds.
  gantry_add_kernel_gate(kernels_gpu_check "${PROJECT_SOURCE_DIR}/benchmarks/cuda/gpu_check.py"
                         --dry-run --deps "${doctest_headers}")
  add_custom_target(
    gantry_kernel_mutants
    COMMAND Python3::Interpreter -B "${scripts}/mutants.py" "${CMAKE_CXX_COMPILER}"
    USES_TERMINAL)
endfunction()
