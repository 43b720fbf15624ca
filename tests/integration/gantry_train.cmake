# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-train, included where the program is defined.
file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/gantry_train_*_test.py")
gantry_add_program_tests(gantry-train TESTS ${tests}
                         VARIABLES "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>")
set_property(TEST integration_gantry_train_report_test APPEND
             PROPERTY ENVIRONMENT "GANTRY_SCREENSHOTS=${PROJECT_BINARY_DIR}/screenshots")
