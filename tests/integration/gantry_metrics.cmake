# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-metrics, included where the program is defined.
gantry_add_program_tests(
  gantry-metrics TESTS "${CMAKE_CURRENT_LIST_DIR}/gantry_metrics_test.py"
  VARIABLES "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>"
            "GANTRY_METRICS=$<TARGET_FILE:gantry-metrics>")
