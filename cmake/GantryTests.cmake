# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0

option(GANTRY_FAST_TESTS
       "Tests labelled fast or threads; without them only those also labelled native" ON)

# Labels, and the seconds after which a hanging test of that label is stopped; a sanitizer makes a
# test up to ten times slower.
set(GANTRY_TIMEOUT_fast 600)
set(GANTRY_TIMEOUT_threads 600)
set(GANTRY_TIMEOUT_golden 600)
set(GANTRY_TIMEOUT_presets 600)
set(GANTRY_TIMEOUT_kernels 900)
set(GANTRY_TIMEOUT_gpu 900)
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

# gantry_together(<result> <name> <count> <files>...): translation units that hold so many of the
# tests each. They instantiate the same of the same headers, so a unit of five costs two thirds of
# five units. Each file is in a namespace of its own; their headers come first, outside of these.
function(gantry_together result name count)
  set(${result} ${ARGN} PARENT_SCOPE)
  if(NOT GANTRY_TOGETHER)
    return()
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})
  set(units "")
  set(first 0)
  list(LENGTH ARGN files)
  while(first LESS files)
    list(SUBLIST ARGN ${first} ${count} batch)
    math(EXPR first "${first} + ${count}")
    set(headers "")
    set(content "")
    foreach(file IN LISTS batch)
      file(STRINGS "${file}" lines REGEX "^#include ")
      list(APPEND headers ${lines})
      get_filename_component(path "${file}" ABSOLUTE)
      get_filename_component(stem "${file}" NAME_WE)
      string(APPEND content "namespace together_${stem} {\n#include \"${path}\"\n}\n")
    endforeach()
    list(REMOVE_DUPLICATES headers)
    list(JOIN headers "\n" headers)
    set(unit "${CMAKE_CURRENT_BINARY_DIR}/together/${name}_${first}.cpp")
    file(CONFIGURE OUTPUT "${unit}" CONTENT "${headers}\n${content}" @ONLY)
    list(APPEND units "${unit}")
  endwhile()
  set(${result} ${units} PARENT_SCOPE)
endfunction()

# gantry_add_test(NAME <name> SOURCES <files>... LABELS <labels>... [LIBRARIES <targets>...]
#                 [ARGS <arguments>...] [TIMEOUT <seconds>] [TOGETHER <count>]
#                 [OPTIONS <compiler options>...])
# One doctest program and one ctest of the same name, of those sources whose components are here.
function(gantry_add_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;TIMEOUT;TOGETHER"
                        "SOURCES;LABELS;LIBRARIES;ARGS;OPTIONS")
  if(NOT GANTRY_FAST_TESTS AND arg_LABELS MATCHES "fast|threads" AND NOT "native" IN_LIST
                                                                      arg_LABELS)
    return()
  endif()
  set(sources "")
  foreach(source IN LISTS arg_SOURCES)
    gantry_can_build(possible "${source}")
    if(possible)
      list(APPEND sources "${source}")
    endif()
  endforeach()
  if(NOT sources)
    return()
  endif()
  gantry_components_of(components ${sources})
  if(arg_TOGETHER)
    gantry_together(sources ${arg_NAME} ${arg_TOGETHER} ${sources})
  endif()
  if(arg_OPTIONS) # after those of the target and of what it links
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${arg_OPTIONS}")
  endif()
  add_executable(${arg_NAME} ${sources})
  list(TRANSFORM components PREPEND "gantry::")
  target_link_libraries(${arg_NAME} PRIVATE gantry_test_support gantry_test_main ${arg_LIBRARIES}
                                            ${components})
  set_target_properties(
    ${arg_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests/bin")
  add_test(NAME ${arg_NAME} COMMAND ${arg_NAME} ${arg_ARGS})
  if(NOT arg_TIMEOUT)
    list(GET arg_LABELS 0 label)
    set(arg_TIMEOUT ${GANTRY_TIMEOUT_${label}})
  endif()
  set_tests_properties(${arg_NAME} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT}
                                              ENVIRONMENT "${GANTRY_TEST_ENVIRONMENT}")
  gantry_add_to_label_groups(${arg_NAME} ${arg_LABELS})
endfunction()

# What lets Open MPI start more processes than there are cores, in a container too.
set(GANTRY_MPI_ENVIRONMENT OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
                           OMPI_MCA_rmaps_base_oversubscribe=1)

# gantry_add_mpi_test(NAME <name> RANKS <n> SOURCES <files>...)
# One doctest program with a main of its own, on n processes; nothing where MPI is missing.
function(gantry_add_mpi_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;RANKS" "SOURCES")
  if(NOT TARGET gantry::mpi OR NOT MPIEXEC_EXECUTABLE)
    message(STATUS "Gantry: the tests of ${arg_NAME} are not built, MPI is missing")
    return()
  endif()
  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE gantry_test_support gantry::mpi)
  set_target_properties(
    ${arg_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests/bin")
  add_test(NAME ${arg_NAME} COMMAND "${MPIEXEC_EXECUTABLE}" "${MPIEXEC_NUMPROC_FLAG}" ${arg_RANKS}
                                    $<TARGET_FILE:${arg_NAME}>)
  set_tests_properties(${arg_NAME} PROPERTIES LABELS mpi TIMEOUT 300 PROCESSORS 2
                                              ENVIRONMENT "${GANTRY_MPI_ENVIRONMENT}")
  gantry_add_to_label_groups(${arg_NAME} mpi)
endfunction()

# gantry_add_transport_test(NAME <name> SOURCES <files>... [LIBRARIES <targets>...])
# One doctest program that runs every strategy over a transport, whatever its components.
function(gantry_add_transport_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "SOURCES;LIBRARIES")
  if(NOT GANTRY_FAST_TESTS)
    return()
  endif()
  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE gantry_test_support gantry_every_strategy
                                            ${arg_LIBRARIES})
  set_target_properties(
    ${arg_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests/bin")
  add_test(NAME ${arg_NAME} COMMAND ${arg_NAME})
  set_tests_properties(${arg_NAME} PROPERTIES LABELS threads TIMEOUT ${GANTRY_TIMEOUT_threads}
                                              ENVIRONMENT "${GANTRY_TEST_ENVIRONMENT}")
  gantry_add_to_label_groups(${arg_NAME} threads)
endfunction()

# gantry_add_program_tests(<program> TESTS <scripts>... VARIABLES <NAME=VALUE>...
#                          [SKIP_CODE <code>])
# Python scripts of tests/integration that drive built programs, which the variables name.
function(gantry_add_program_tests program)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "SKIP_CODE" "VARIABLES;TESTS")
  foreach(test IN LISTS arg_TESTS)
    cmake_path(GET test STEM name)
    add_test(NAME integration_${name} COMMAND Python3::Interpreter -B "${test}")
    set_tests_properties(
      integration_${name} PROPERTIES LABELS integration TIMEOUT ${GANTRY_TIMEOUT_integration}
                                     ENVIRONMENT "${arg_VARIABLES}")
    if(arg_SKIP_CODE)
      set_tests_properties(integration_${name} PROPERTIES SKIP_RETURN_CODE ${arg_SKIP_CODE})
    endif()
  endforeach()
  gantry_add_to_label_groups(${program} integration)
endfunction()
