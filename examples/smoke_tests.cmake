# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Every example runs in the test suite with few iterations. 02 needs Fashion-MNIST and is skipped
# (exit code 3: data refused) where it is not installed.
function(gantry_smoke_test program)
  add_test(NAME example_${program} COMMAND ${program} ${ARGN}
           WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}")
  set_tests_properties(example_${program} PROPERTIES LABELS integration TIMEOUT 300
                                                     SKIP_RETURN_CODE 3)
endfunction()

gantry_smoke_test(01_first_gan 40)
gantry_smoke_test(02_md_gan_fashion 5)
gantry_smoke_test(03_own_layer_and_loss 50)
gantry_smoke_test(05_task_groups 20)
