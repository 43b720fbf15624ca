# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-metrics, included where the program is defined.
add_test(NAME integration_gantry_metrics_test
         COMMAND Python3::Interpreter -B "${CMAKE_CURRENT_LIST_DIR}/gantry_metrics_test.py")
set_tests_properties(
  integration_gantry_metrics_test
  PROPERTIES
    LABELS integration TIMEOUT ${GANTRY_TIMEOUT_integration} ENVIRONMENT
    "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>;GANTRY_METRICS=$<TARGET_FILE:gantry-metrics>")
gantry_add_to_label_groups(gantry-metrics integration)
