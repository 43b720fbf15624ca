# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-generate, included where the program is defined.
gantry_add_program_tests(
  gantry-generate TESTS "${CMAKE_CURRENT_LIST_DIR}/gantry_generate_test.py"
  VARIABLES "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>"
            "GANTRY_GENERATE=$<TARGET_FILE:gantry-generate>")
