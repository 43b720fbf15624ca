# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Tests of the program gantry-data and of own images in gantry-train, included where the first is
# defined. GANTRY_DATA would be --data of gantry-train.
file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/gantry_data_*_test.py")
set(programs "GANTRY_TRAIN=$<TARGET_FILE:gantry-train>"
             "GANTRY_DATA_PROGRAM=$<TARGET_FILE:gantry-data>")
foreach(test IN LISTS tests)
  cmake_path(GET test STEM name)
  add_test(NAME integration_${name} COMMAND Python3::Interpreter -B "${test}")
  set_tests_properties(integration_${name} PROPERTIES LABELS integration TIMEOUT
                                                      ${GANTRY_TIMEOUT_integration}
                                                      ENVIRONMENT "${programs}")
endforeach()
gantry_add_to_label_groups(gantry-data integration)
