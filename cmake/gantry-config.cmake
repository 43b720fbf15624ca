# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# The package under its name in small letters: find_package(gantry CONFIG).
include("${CMAKE_CURRENT_LIST_DIR}/GantryConfig.cmake")
