// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#ifdef GANTRY_MISTAKE
static_assert(sizeof(int) == 0, "a sentence that nobody expects");
#endif
