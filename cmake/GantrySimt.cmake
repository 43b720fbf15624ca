# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests that run CUDA kernels on the CPU: the host's compiler builds them with tests/simt/ in the
# place of CUDA's headers.

set(GANTRY_SIMT_DIR "${PROJECT_SOURCE_DIR}/tests/simt")

# gantry_add_simt_test(NAME <name> SOURCES <files>...)
# One program and its tests: <name>, which the sanitizers' stages run too (ThreadSanitizer takes
# every CUDA thread for a thread, so that it finds missing barriers), and the other orders of
# threads and the two extremes of the runtime.
function(gantry_add_simt_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "SOURCES")
  if(NOT arg_SOURCES)
    return()
  endif()
  gantry_add_test(NAME ${arg_NAME} SOURCES ${arg_SOURCES} LABELS fast threads kernels)
  target_include_directories(${arg_NAME} BEFORE PRIVATE "${GANTRY_SIMT_DIR}/cuda")
  # Hundreds of instances: what optimising them gains, compiling them costs twice.
  target_compile_options(${arg_NAME} PRIVATE -Wno-unknown-pragmas -O1)
  foreach(mode SIMT_ORDER=reverse SIMT_ORDER=random:1 SIMT_ORDER=random:2 SIMT_ASYNC=eager
               SIMT_HOSTTRAP=1)
    string(REGEX REPLACE "^SIMT_([A-Z]+)=" "\\1_" suffix "${mode}")
    string(TOLOWER "${suffix}" suffix)
    string(REPLACE ":" "" suffix "${suffix}")
    add_test(NAME ${arg_NAME}_${suffix} COMMAND ${arg_NAME})
    set_tests_properties(
      ${arg_NAME}_${suffix} PROPERTIES LABELS kernels TIMEOUT ${GANTRY_TIMEOUT_kernels}
                                       ENVIRONMENT "${GANTRY_TEST_ENVIRONMENT};${mode}")
  endforeach()
endfunction()
