# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-train, included where the program is defined.
file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/gantry_train_*_test.py")
gantry_add_program_tests(gantry-train TESTS ${tests}
                         VARIABLES "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>")
set_property(TEST integration_gantry_train_report_test APPEND
             PROPERTY ENVIRONMENT "GANTRY_SCREENSHOTS=${PROJECT_BINARY_DIR}/screenshots")

# Opt-in, each by a variable of its own (docs/12_transports.md); else they are skipped.
set(mpi_tests "${PROJECT_SOURCE_DIR}/tests/mpi")
gantry_add_program_tests(gantry-train TESTS "${mpi_tests}/repeat_faults.py"
                                            "${mpi_tests}/namespaces_test.py" SKIP_CODE 77
                         VARIABLES "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>")
set_tests_properties(integration_repeat_faults integration_namespaces_test
                     PROPERTIES LABELS long TIMEOUT 14400 RUN_SERIAL TRUE)
