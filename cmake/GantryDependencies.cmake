# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0

# A project that adds Gantry with add_subdirectory() links these through gantry::gantry, so they
# must be visible outside this directory too.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)

find_package(Threads REQUIRED)
find_package(Eigen3 3.3 QUIET NO_MODULE)
find_package(ZLIB QUIET)

function(gantry_require target what package)
  if(NOT TARGET ${target})
    message(FATAL_ERROR "Gantry needs ${what}, which was not found; run scripts/setup.sh "
                        "or install the Debian package ${package}.")
  endif()
endfunction()
gantry_require(Eigen3::Eigen "Eigen 3.3 or newer" libeigen3-dev)
gantry_require(ZLIB::ZLIB "zlib" zlib1g-dev)
if(GANTRY_BUILD_TESTS)
  find_package(doctest QUIET CONFIG)
  gantry_require(doctest::doctest "doctest for its tests (or -DGANTRY_BUILD_TESTS=OFF)" doctest-dev)
  # The one that scripts/setup.sh --tests makes has the modules of tests/requirements.txt.
  set(GANTRY_PYTHON "" CACHE FILEPATH "Python of the tests; empty: build/python's, or any")
  set(gantry_own_python "${PROJECT_SOURCE_DIR}/build/python/bin/python3")
  if(GANTRY_PYTHON)
    set(Python3_EXECUTABLE "${GANTRY_PYTHON}")
  elseif(EXISTS "${gantry_own_python}")
    set(Python3_EXECUTABLE "${gantry_own_python}")
  endif()
  find_package(Python3 3.9 QUIET COMPONENTS Interpreter)
  gantry_require(Python3::Interpreter "Python 3.9 for its lints (or -DGANTRY_BUILD_TESTS=OFF)"
                 python3)
endif()
