# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-features, included where the program is defined. Without torch,
# published weights or data they say what is missing and count as skipped.
file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/gantry_features_*_test.py")
gantry_add_program_tests(gantry-features TESTS ${tests} SKIP_CODE 77
                         VARIABLES "GANTRY_FEATURES=$<TARGET_FILE:gantry-features>")
