// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
// EXPECT: this program always compiles
static_assert(sizeof(int) > 0, "this program always compiles");
