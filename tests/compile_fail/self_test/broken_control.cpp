// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
// EXPECT: this program never compiles
static_assert(sizeof(int) == 0, "this program never compiles");
