# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# The optional parts of Gantry: a target each, made where its third party is found. Used by this
# build and, installed beside GantryConfig.cmake, by find_package(Gantry COMPONENTS ...).

set(GANTRY_COMPONENTS cuda mpi nccl png jpeg)

# Makes gantry::<component>, a real target in Gantry's own build and an imported one elsewhere, and
# notes in the target what it was found in.
function(gantry_make_component component found)
  if(TARGET gantry)
    add_library(gantry_${component} INTERFACE)
    add_library(gantry::${component} ALIAS gantry_${component})
    set(target gantry_${component})
  else()
    add_library(gantry::${component} INTERFACE IMPORTED)
    set(target gantry::${component})
  endif()
  target_link_libraries(${target} INTERFACE gantry::gantry ${ARGN})
  set_target_properties(${target} PROPERTIES GANTRY_FOUND_IN "${found}")
  if(component MATCHES "^(png|jpeg)$") # what io/installed_codecs.hpp asks
    string(TOUPPER "${component}" codec)
    target_compile_definitions(${target} INTERFACE GANTRY_WITH_${codec})
  endif()
  # An installation merges include/ and kernels/; the source tree has two roots.
  if(TARGET gantry AND component STREQUAL "cuda")
    target_include_directories(${target} INTERFACE "${Gantry_SOURCE_DIR}/kernels")
  endif()
endfunction()

# gantry_find_component(<component> <variable>): <variable> is empty when gantry::<component> exists
# afterwards, else a sentence that says what is missing.
function(gantry_find_component component missing)
  set(${missing} "" PARENT_SCOPE)
  if(TARGET gantry::${component})
    return()
  elseif(component STREQUAL "cuda")
    find_package(CUDAToolkit QUIET)
    if(TARGET CUDA::cudart)
      gantry_make_component(cuda "CUDA Toolkit ${CUDAToolkit_VERSION}" CUDA::cudart)
      return()
    endif()
    set(sentence "it needs the CUDA Toolkit (install it or set CUDAToolkit_ROOT)")
  elseif(component STREQUAL "mpi")
    set(MPI_CXX_SKIP_MPICXX ON)
    set(CMAKE_MESSAGE_LOG_LEVEL WARNING) # FindMPI's pkg-config call ignores QUIET
    find_package(MPI QUIET COMPONENTS CXX)
    if(MPI_CXX_FOUND)
      gantry_make_component(mpi "MPI ${MPI_CXX_VERSION}" MPI::MPI_CXX)
      return()
    endif()
    set(sentence "it needs MPI with mpi.h (install libopenmpi-dev or set MPI_HOME)")
  elseif(component STREQUAL "nccl")
    gantry_find_component(cuda no_cuda)
    find_package(CUDAToolkit QUIET)
    find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${NCCL_ROOT} $ENV{NCCL_ROOT} ${CUDAToolkit_INCLUDE_DIRS}
              PATH_SUFFIXES include)
    find_library(NCCL_LIBRARY nccl HINTS ${NCCL_ROOT} $ENV{NCCL_ROOT} ${CUDAToolkit_LIBRARY_DIR}
                 PATH_SUFFIXES lib lib64)
    mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)
    if(no_cuda)
      set(sentence "${no_cuda}")
    elseif(NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
      if(NOT TARGET gantry_nccl_library)
        add_library(gantry_nccl_library UNKNOWN IMPORTED GLOBAL)
      endif()
      set_target_properties(
        gantry_nccl_library PROPERTIES IMPORTED_LOCATION "${NCCL_LIBRARY}"
                                       INTERFACE_INCLUDE_DIRECTORIES "${NCCL_INCLUDE_DIR}")
      gantry_make_component(nccl "${NCCL_LIBRARY}" gantry::cuda gantry_nccl_library)
      return()
    else()
      set(sentence "it needs nccl.h and libnccl (install libnccl-dev or set NCCL_ROOT)")
    endif()
  elseif(component STREQUAL "png")
    find_package(PNG QUIET)
    if(TARGET PNG::PNG)
      gantry_make_component(png "libpng ${PNG_VERSION_STRING}" PNG::PNG)
      return()
    endif()
    set(sentence "it needs libpng (install libpng-dev)")
  elseif(component STREQUAL "jpeg")
    find_package(JPEG QUIET)
    if(TARGET JPEG::JPEG)
      gantry_make_component(jpeg "libjpeg ${JPEG_VERSION}" JPEG::JPEG)
      return()
    endif()
    set(sentence "it needs libjpeg (install libjpeg62-turbo-dev)")
  else()
    list(JOIN GANTRY_COMPONENTS ", " known)
    set(sentence "Gantry has no such component, only ${known}")
  endif()
  set(${missing} "${sentence}" PARENT_SCOPE)
endfunction()
