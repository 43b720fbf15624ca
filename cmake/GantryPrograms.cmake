# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0

# The components whose headers the sources include, e.g. "gantry/comm/mpi.hpp" -> mpi.
function(gantry_components_of result)
  set(components "")
  foreach(source IN LISTS ARGN)
    file(STRINGS "${source}" lines REGEX "^ *# *include +\"gantry/")
    if(lines MATCHES "gantry/comm/mpi\\.hpp")
      list(APPEND components mpi)
    endif()
    if(lines MATCHES "gantry/comm/nccl\\.hpp")
      list(APPEND components nccl)
    endif()
    if(source MATCHES "\\.cu$" OR lines MATCHES "gantry/(backend/cuda/|cuda\\.cuh)")
      list(APPEND components cuda)
    endif()
  endforeach()
  list(REMOVE_DUPLICATES components)
  set(${result} "${components}" PARENT_SCOPE)
endfunction()

# gantry_can_build(<result> <sources>...): whether all components that the sources include are here;
# says which one is not.
function(gantry_can_build result)
  set(${result} YES PARENT_SCOPE)
  gantry_components_of(components ${ARGN})
  foreach(component IN LISTS components)
    if(NOT TARGET gantry::${component})
      list(GET ARGN 0 first)
      cmake_path(ABSOLUTE_PATH first)
      cmake_path(RELATIVE_PATH first BASE_DIRECTORY "${PROJECT_SOURCE_DIR}")
      message(STATUS "Gantry: ${first} is not built, gantry::${component} is missing")
      set(${result} NO PARENT_SCOPE)
    endif()
  endforeach()
endfunction()

# gantry_add_program(<name> <sources>...): a program in bin/ with the house flags.
function(gantry_add_program name)
  gantry_can_build(possible ${ARGN})
  if(NOT possible)
    return()
  endif()
  add_executable(${name} ${ARGN})
  gantry_components_of(components ${ARGN})
  list(TRANSFORM components PREPEND "gantry::")
  target_link_libraries(${name} PRIVATE gantry::gantry gantry_house ${components})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endfunction()

# gantry_compile_together(<targets>...): all sources of a target in one translation unit, or as many
# as its UNITY_BUILD_BATCH_SIZE says. Most of what a source costs are its headers and what it
# instantiates of them anew. Names in unnamed namespaces must differ within a target; sources with
# options of their own stay alone.
function(gantry_compile_together)
  foreach(name IN LISTS ARGN)
    if(TARGET ${name} AND GANTRY_TOGETHER)
      set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
    endif()
  endforeach()
endfunction()

# gantry_compile_quickly(<targets>...): those that wait for files and users, or check results in
# small sizes; -O1 compiles them in two thirds of the time.
function(gantry_compile_quickly)
  foreach(name IN LISTS ARGN)
    if(TARGET ${name})
      target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
    endif()
  endforeach()
endfunction()
