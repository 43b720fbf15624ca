# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-latent, included where the program is defined.
gantry_add_program_tests(
  gantry-latent TESTS "${CMAKE_CURRENT_LIST_DIR}/gantry_latent_test.py"
  VARIABLES "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>"
            "GANTRY_LATENT=$<TARGET_FILE:gantry-latent>")
