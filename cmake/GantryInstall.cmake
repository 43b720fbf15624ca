# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Headers (include/ and kernels/ merged), the CMake package and the pkg-config file. Programs are
# not installed.

include(CMakePackageConfigHelpers)
set(GANTRY_PACKAGE_DIR "${CMAKE_INSTALL_DATADIR}/cmake/Gantry")

foreach(root include kernels)
  if(IS_DIRECTORY "${PROJECT_SOURCE_DIR}/${root}/gantry")
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/${root}/gantry"
            DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp"
            PATTERN "*.cuh")
  endif()
endforeach()

install(TARGETS gantry EXPORT GantryTargets)
install(EXPORT GantryTargets NAMESPACE gantry:: DESTINATION "${GANTRY_PACKAGE_DIR}")
configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/GantryConfig.cmake.in" "${PROJECT_BINARY_DIR}/GantryConfig.cmake"
  INSTALL_DESTINATION "${GANTRY_PACKAGE_DIR}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/GantryConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/GantryConfig.cmake"
              "${PROJECT_BINARY_DIR}/GantryConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/GantryComponents.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/gantry-config.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/gantry-config-version.cmake"
        DESTINATION "${GANTRY_PACKAGE_DIR}")

cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_DATADIR BASE_DIRECTORY "${CMAKE_INSTALL_PREFIX}"
           OUTPUT_VARIABLE data_dir)
string(REGEX REPLACE "[^/]+" ".." up_from_data_dir "${data_dir}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/gantry.pc.in" "${PROJECT_BINARY_DIR}/gantry.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/gantry.pc"
        DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
