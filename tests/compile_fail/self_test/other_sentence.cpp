// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
// EXPECT: the batch must be larger than the number of workers
#ifdef GANTRY_MISTAKE
static_assert(sizeof(int) == 0, "a sentence that does not match what is announced");
#endif
