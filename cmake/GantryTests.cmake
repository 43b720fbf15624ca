# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0

# Labels and the seconds after which a hanging test is stopped; sanitizers slow a test down.
set(GANTRY_TIMEOUT_fast 300)
set(GANTRY_TIMEOUT_threads 600)
set(GANTRY_TIMEOUT_integration 1200)
set(GANTRY_TEST_ENVIRONMENT
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1"
    "UBSAN_OPTIONS=print_stacktrace=1" "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")

# Adds the sources' program to a group: a target gantry_<label>_tests that builds all of a label.
function(gantry_add_to_label_groups name)
  foreach(label IN LISTS ARGN)
    if(NOT TARGET gantry_${label}_tests)
      add_custom_target(gantry_${label}_tests)
    endif()
    add_dependencies(gantry_${label}_tests ${name})
  endforeach()
endfunction()

# gantry_add_test(NAME <name> SOURCES <files>... LABELS <labels>...
#                 [LIBRARIES <targets>...] [ARGS <arguments>...] [TIMEOUT <seconds>])
# One doctest program and one ctest of the same name. Without a component that the sources include
# (gantry::mpi, say) neither is made.
function(gantry_add_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;TIMEOUT" "SOURCES;LABELS;LIBRARIES;ARGS")
  gantry_can_build(possible ${arg_SOURCES})
  if(NOT possible OR NOT arg_SOURCES)
    return()
  endif()
  add_executable(${arg_NAME} ${arg_SOURCES})
  gantry_components_of(components ${arg_SOURCES})
  list(TRANSFORM components PREPEND "gantry::")
  target_link_libraries(${arg_NAME} PRIVATE gantry_test_support gantry_test_main ${arg_LIBRARIES}
                                            ${components})
  set_target_properties(
    ${arg_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests/bin")
  if(NOT components MATCHES cuda)
    target_precompile_headers(${arg_NAME} REUSE_FROM gantry_test_headers)
  endif()
  add_test(NAME ${arg_NAME} COMMAND ${arg_NAME} ${arg_ARGS})
  list(GET arg_LABELS -1 last_label)
  set(timeout 600)
  foreach(candidate "${arg_TIMEOUT}" "${GANTRY_TIMEOUT_${last_label}}")
    if(candidate)
      set(timeout ${candidate})
      break()
    endif()
  endforeach()
  set_tests_properties(${arg_NAME} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${timeout}
                                              ENVIRONMENT "${GANTRY_TEST_ENVIRONMENT}")
  gantry_add_to_label_groups(${arg_NAME} ${arg_LABELS})
endfunction()
