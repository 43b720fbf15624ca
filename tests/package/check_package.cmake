# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds and runs tests/package/consumer by one ROUTE, in the empty folder WORK.

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output
                  ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "failed (${status}): ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# Moves an installation, so that an absolute path in it breaks the consumer.
function(install_and_move)
  run("${CMAKE_COMMAND}" --install "${GANTRY_BUILD}" --prefix "${WORK}/installed")
  file(RENAME "${WORK}/installed" "${WORK}/moved")
endfunction()

set(consumer "${GANTRY_SOURCE}/tests/package/consumer")
set(configure "${CMAKE_COMMAND}" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}"
              -S "${consumer}" -B "${WORK}/build")
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")

if(ROUTE STREQUAL "subdirectory")
  run(${configure} "-DGANTRY_SOURCE=${GANTRY_SOURCE}")
  run("${CMAKE_COMMAND}" --build "${WORK}/build")
  run("${WORK}/build/consumer")
  file(STRINGS "${WORK}/build/CMakeCache.txt" cache REGEX "^GANTRY_(BUILD|NATIVE).*=ON")
  if(cache)
    message(FATAL_ERROR "A project that adds Gantry as a folder gets ${cache}.")
  endif()
elseif(ROUTE STREQUAL "find_package")
  install_and_move()
  list(APPEND configure "-DCMAKE_PREFIX_PATH=${WORK}/moved")
  run(${configure})
  run("${CMAKE_COMMAND}" --build "${WORK}/build")
  run("${WORK}/build/consumer")
  file(REMOVE_RECURSE "${WORK}/build")
  execute_process(COMMAND ${configure} -DCOMPONENTS=teleport RESULT_VARIABLE status
                  OUTPUT_QUIET ERROR_VARIABLE output)
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  if(status EQUAL 0 OR NOT output MATCHES "\"teleport\" of Gantry cannot be used: .*no such")
    message(FATAL_ERROR "An unknown component must be refused by name, found:\n${output}")
  endif()
elseif(ROUTE STREQUAL "pkg_config")
  find_program(PKG_CONFIG pkg-config)
  if(NOT PKG_CONFIG)
    message("skipped: pkg-config is not installed")
    return()
  endif()
  install_and_move()
  set(ENV{PKG_CONFIG_PATH} "${WORK}/moved/share/pkgconfig")
  run("${PKG_CONFIG}" --cflags --libs gantry)
  separate_arguments(flags UNIX_COMMAND "${output}")
  run("${COMPILER}" -std=c++20 "${consumer}/main.cpp" ${flags} -o "${WORK}/consumer")
  run("${WORK}/consumer")
else()
  file(COPY "${GANTRY_SOURCE}/include" DESTINATION "${WORK}")
  run("${COMPILER}" -std=c++20 "-I${WORK}/include" "-I${EIGEN}" "${consumer}/main.cpp" -lz -pthread
      -o "${WORK}/consumer")
  run("${WORK}/consumer")
endif()
