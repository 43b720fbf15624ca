# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# What all programs have in common. They lie beside each other, and those of another folder of the
# tree are looked for there.
gantry_add_program_tests(
  gantry-train TESTS "${CMAKE_CURRENT_LIST_DIR}/programs_test.py"
  VARIABLES "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>"
            "GANTRY_DATA_PROGRAM=$<TARGET_FILE:gantry-data>")
