# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-onnx, included where the program is defined.
gantry_add_program_tests(
  gantry-onnx TESTS "${CMAKE_CURRENT_LIST_DIR}/gantry_onnx_test.py"
  VARIABLES "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>"
            "GANTRY_ONNX=$<TARGET_FILE:gantry-onnx>")
