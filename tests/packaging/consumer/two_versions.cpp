// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

int of_this_version();
int of_the_next();

/// The next version is a copy whose usage errors have the exit code 22.
int main() {
  std::printf("%d %d\n", of_this_version(), of_the_next());
  return of_this_version() == 2 && of_the_next() == 22 ? 0 : 1;
}
