# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-data and of own images in gantry-train, included where the first is
# defined. GANTRY_DATA would be --data of gantry-train.
file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/gantry_data_*_test.py")
gantry_add_program_tests(
  gantry-data TESTS ${tests} VARIABLES "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>"
                                       "GANTRY_DATA_PROGRAM=$<TARGET_FILE:gantry-data>"
                                       "GANTRY_FEATURES=$<TARGET_FILE:gantry-features>")
