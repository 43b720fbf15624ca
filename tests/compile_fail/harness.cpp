// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The smallest example of this folder: copy it for a new mistake.
// EXPECT: linear<N>: N must be positive
// EXPECT: it is the number of outputs

template <int N>
struct linear {
  static_assert(N > 0, "linear<N>: N must be positive, it is the number of outputs");
  int outputs = N;
};

#ifdef GANTRY_MISTAKE
linear<0> layer;
#else
linear<1> layer;
#endif
