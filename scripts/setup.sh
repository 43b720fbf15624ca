#!/usr/bin/env bash
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs what Gantry needs from Debian. scripts/setup.sh [--tests]
# --tests also installs what the tests need, and the Python modules of tests/requirements.txt from
# PyPI into build/python; where PyPI cannot be reached, it says so, and their tests are skipped.
# Exit codes: 0 everything is there, 1 apt failed, 2 something is missing and has to be installed by
# hand (the command is printed).
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

packages=(g++ cmake ninja-build libeigen3-dev zlib1g-dev libcli11-dev libpng-dev libjpeg62-turbo-dev
  dataset-fashion-mnist)
case "${1:-}" in
  "") ;;
  --tests)
    packages+=(doctest-dev nlohmann-json3-dev pkg-config python3 python3-venv libopenmpi-dev
      openmpi-bin)
    ;;
  -h | --help) echo "usage: scripts/setup.sh [--tests]"; exit 0 ;;
  *) echo "setup.sh knows only --tests, found \"$1\"." >&2; exit 2 ;;
esac

if ! command -v dpkg-query apt-get > /dev/null; then
  cat >&2 <<'TEXT'
This is no Debian system, so install by hand what this system calls: a C++20 compiler (g++ 12 or
clang++ 14 or newer), CMake 3.24, Ninja, Eigen 3.3, zlib, CLI11, libpng and libjpeg (without them
programs cannot read folders of images), and for the tests doctest,
nlohmann-json, pkg-config, MPI and Python 3.9; the quickstart also needs Fashion-MNIST's four .gz
files.
TEXT
  exit 2
fi

# A tool may also come from elsewhere than Debian's package.
is_present() {
  case "$1" in
    g++ | cmake | pkg-config | python3) command -v "$1" > /dev/null && return ;;
    python3-venv) python3 -c 'import ensurepip' 2> /dev/null && return ;;
    ninja-build) command -v ninja > /dev/null && return ;;
  esac
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

# python_modules: the interpreter that CMake gives the tests, build/python/bin/python3.
python_modules() {
  local folder="$root/build/python" wanted="$root/tests/requirements.txt"
  cmp -s "$wanted" "$folder/requirements.txt" && return
  echo "setup: installing the Python modules of tests/requirements.txt into build/python"
  if python3 -m venv --system-site-packages "$folder" > "$log" 2>&1 &&
    "$folder/bin/python3" -m pip install -q --retries 2 --timeout 20 \
      --disable-pip-version-check -r "$wanted" >> "$log" 2>&1; then
    cp "$wanted" "$folder/requirements.txt"
  else
    echo "setup: the modules could not be installed from PyPI ($(tail -n 1 "$log"));" \
      "tests that need them are skipped." >&2
  fi
}

# What was asked for besides Debian's packages; the end of this script.
finish() {
  log="$(mktemp)"
  [ "${1:-}" != --tests ] || python_modules
  rm -f "$log"
  exit 0
}

missing=()
for package in "${packages[@]}"; do
  is_present "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  finish "${1:-}"
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "Missing packages; install them and start again:"
  echo "  sudo apt-get install ${missing[*]}"
  exit 2
fi

echo "setup: installing ${missing[*]}"
log="$(mktemp)"
export DEBIAN_FRONTEND=noninteractive
if apt-get update -qq > "$log" 2>&1 &&
  apt-get install -y --no-install-recommends "${missing[@]}" >> "$log" 2>&1; then
  rm -f "$log"
else
  tail -n 20 "$log" >&2
  echo "setup: apt-get could not install ${missing[*]}; the whole output is in $log." >&2
  exit 1
fi
finish "${1:-}"
