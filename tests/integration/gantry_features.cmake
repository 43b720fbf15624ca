# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-features, included where the program is defined. Without torch,
# published weights or data they say what is missing and count as skipped.
file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/gantry_features_*_test.py")
foreach(test IN LISTS tests)
  cmake_path(GET test STEM name)
  add_test(NAME integration_${name} COMMAND Python3::Interpreter -B "${test}")
  set_tests_properties(
    integration_${name}
    PROPERTIES LABELS integration TIMEOUT ${GANTRY_TIMEOUT_integration} SKIP_RETURN_CODE 77
               ENVIRONMENT "GANTRY_FEATURES=$<TARGET_FILE:gantry-features>")
endforeach()
gantry_add_to_label_groups(gantry-features integration)
