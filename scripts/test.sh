#!/usr/bin/env bash
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Everything that has to pass before a change lands. scripts/test.sh [--quick | --fuzz]
#   release: all of the tree, all tests (lints and examples among them) but those that a
#            sanitizer's stage compiles and runs; --quick: all tests
#   clang:   every header alone and every refused mistake, with clang++ where it is installed
#   asan:    the fast tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan:    the tests that start threads under ThreadSanitizer
# --quick stops after the release stage. --fuzz is an optional job that runs none of these:
#   fuzz:    every reader of files under libFuzzer, GANTRY_FUZZ_SECONDS (60) each; skipped without
#            clang++ and libFuzzer. GANTRY_FUZZ_PARSERS names some of the readers instead of all.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
jobs="$(nproc)"
quick=no
fuzz=no
case "${1:-}" in
  "") ;;
  --quick) quick=yes ;;
  --fuzz) fuzz=yes ;;
  -h | --help) echo "usage: scripts/test.sh [--quick | --fuzz]"; exit 0 ;;
  *) echo "test.sh knows only --quick and --fuzz, found \"$1\"." >&2; exit 2 ;;
esac

summary=()
failed=0

note() { # note <stage> <status> <begin>
  summary+=("$(printf '%-8s %-7s %5d s' "$1" "$2" $((SECONDS - $3)))")
  [ "$2" != FAILED ] || failed=$((failed + 1))
}

# ThreadSanitizer wants the fixed memory map that some kernels' address randomisation denies it.
fixed_map=()
if setarch -R true 2> /dev/null; then
  fixed_map=(setarch -R)
fi

# stage <name> <targets> <ctest arguments> [cmake arguments...]: configure, build, run.
stage() {
  local name="$1" targets="$2" selection="$3" begin=$SECONDS
  local build="$root/build/test-$name"
  shift 3
  echo "== $name"
  # shellcheck disable=SC2086 # targets and selection are lists of words
  if cmake -S "$root" -B "$build" -G Ninja -Wno-dev "$@" &&
    cmake --build "$build" --parallel "$jobs" --target $targets &&
    "${fixed_map[@]}" ctest --test-dir "$build" --output-on-failure --no-tests=error \
      --parallel $((jobs + 1)) $selection; then
    note "$name" passed "$begin"
  else
    note "$name" FAILED "$begin"
  fi
  echo
}

# finish: one line for each stage; ends with 1 if one has failed.
finish() {
  printf '%s\n' "${summary[@]}"
  echo "$((${#summary[@]} - failed)) of ${#summary[@]} stages without a failure, $SECONDS s in all"
  [ $failed -eq 0 ]
  exit
}

# has_libfuzzer <compiler>: its run-time library is a package of its own.
has_libfuzzer() {
  local probe status
  probe="$(mktemp)"
  echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    "$1" -x c++ -fsanitize=fuzzer,address,undefined - -o "$probe" > /dev/null 2>&1
  status=$?
  rm -f "$probe"
  return $status
}

# fuzz_stage: builds the harnesses and runs each for a while; a finding ends the stage.
fuzz_stage() {
  local begin=$SECONDS build="$root/build/test-fuzz" clang="" name targets=fuzz_minute
  for name in clang++ clang++-{19..14}; do
    if command -v "$name" > /dev/null && has_libfuzzer "$name"; then
      clang="$name"
      break
    fi
  done
  if [ -z "$clang" ]; then
    echo "fuzz is skipped: it needs clang++ with libFuzzer (Debian: clang-14, libclang-rt-14-dev)."
    note fuzz skipped "$begin"
    return
  fi
  # shellcheck disable=SC2086 # parsers and targets are lists of words
  if [ -n "${GANTRY_FUZZ_PARSERS:-}" ]; then
    targets="$(printf 'fuzz_minute_%s ' $GANTRY_FUZZ_PARSERS)"
  fi
  # shellcheck disable=SC2086
  if cmake -S "$root" -B "$build" -G Ninja -Wno-dev "-DCMAKE_CXX_COMPILER=$clang" \
    -DGANTRY_FUZZ=ON -DGANTRY_NATIVE=OFF -DGANTRY_BUILD_EXAMPLES=OFF \
    -DGANTRY_BUILD_BENCHMARKS=OFF "-DGANTRY_FUZZ_SECONDS=${GANTRY_FUZZ_SECONDS:-60}" &&
    cmake --build "$build" --parallel "$jobs" --target $targets; then
    note fuzz passed "$begin"
  else
    note fuzz FAILED "$begin"
    echo "A finding lies in $build/tests/fuzz; docs/08_testing.md says what to do with it."
  fi
}

if [ $fuzz = yes ]; then
  fuzz_stage
  finish
fi

"$root/scripts/setup.sh" --tests || exit $?

# What takes minutes to compile is compiled once: every header alone with clang++ where there is
# one, and what a sanitizer's stage has, there.
headers=gantry_headers selection="" fast_tests=ON
if [ $quick = no ]; then
  fast_tests=OFF
  if command -v clang++ > /dev/null; then
    headers="" selection="-E headers_(build|link)"
  fi
fi
# -O2 compiles in two thirds of the time of -O3, which is CMake's own.
# Wide and narrow presets are one template; the narrow ones of some would only add minutes.
stage release "all $headers" "$selection" -DCMAKE_BUILD_TYPE=Release \
  -DGANTRY_FAST_TESTS=$fast_tests "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG" \
  -DGANTRY_PRESETS=mlp28,dcgan28,dcgan32,acgan28,wgan_gp32_narrow
grep -h "^gantry/gantry.hpp alone" "$root/build/test-release/Testing/Temporary/LastTest.log" \
  2> /dev/null

if [ $quick = no ]; then
  programs="-DGANTRY_BUILD_EXAMPLES=OFF -DGANTRY_BUILD_BENCHMARKS=OFF"
  # shellcheck disable=SC2086
  {
    if command -v clang++ > /dev/null; then
      stage clang "gantry_headers gantry_concept_tests" "-L compile_fail|headers" \
        -DCMAKE_CXX_COMPILER=clang++ $programs ${CI:+-DGANTRY_WERROR=ON}
    else
      note clang skipped "$SECONDS"
    fi
    # clang++ takes half of g++'s time here; its run-time library is a package of its own.
    asan_compiler="" probe="$(mktemp)"
    if echo 'int main() {}' |
      clang++ -x c++ -fsanitize=address,undefined - -o "$probe" > /dev/null 2>&1; then
      asan_compiler=-DCMAKE_CXX_COMPILER=clang++
    fi
    rm -f "$probe"
    # Not for this machine's CPU: g++ 12 misaligns AVX-512 spills on AddressSanitizer's stack.
    stage asan gantry_fast_tests "-L fast" -DCMAKE_BUILD_TYPE=Debug -DGANTRY_NATIVE=OFF \
      -DGANTRY_SANITIZE=address,undefined $programs $asan_compiler
    stage tsan gantry_threads_tests "-L threads" -DCMAKE_BUILD_TYPE=Debug -DGANTRY_NATIVE=OFF \
      -DGANTRY_SANITIZE=thread $programs
  }
fi

finish
