#!/usr/bin/env bash
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# From a fresh clone to pictures: installs what is missing, builds gantry-train, trains a GAN on
# Fashion-MNIST spread over four workers. Arguments are passed on to gantry-train and replace the
# settings below:
#   scripts/quickstart.sh --workers 8 --iterations 500
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
build="$root/build/quickstart"

# Flags of the caller replace ours.
defaults=()
default() { # default <flag> <value>
  local argument
  for argument in "${caller[@]}"; do
    case "$argument" in "$1" | "$1="*) return 0 ;; esac
  done
  defaults+=("$1" "$2")
}
caller=("$@")
default --data fashion-mnist
default --model dcgan28
default --strategy md_gan
default --workers 4
default --k log
default --batch 16
default --iterations 2000

# An --outdir of the caller decides; otherwise every run gets its own folder.
outdir=""
previous=""
for argument in "$@"; do
  case "$argument" in
    --outdir=*) outdir="${argument#--outdir=}" ;;
  esac
  [ "$previous" = --outdir ] && outdir="$argument"
  previous="$argument"
done
own_outdir=()
if [ -z "$outdir" ]; then
  outdir="$root/runs/quickstart"
  number=2
  while [ -e "$outdir" ]; do
    outdir="$root/runs/quickstart-$number"
    number=$((number + 1))
  done
  own_outdir=(--outdir "$outdir")
fi

started=$SECONDS
"$root/scripts/setup.sh"
set_up=$SECONDS

cmake -S "$root" -B "$build" -G Ninja -DGANTRY_PRESETS=dcgan28 -DGANTRY_BUILD_TESTS=OFF \
  -DGANTRY_BUILD_BENCHMARKS=OFF -Wno-dev
cmake --build "$build" --target gantry-train --parallel "$(nproc)"
built=$SECONDS

status=0
"$build/bin/gantry-train" "${defaults[@]}" "${own_outdir[@]}" "$@" || status=$?
trained=$SECONDS

echo
echo "set-up $((set_up - started)) s, build $((built - set_up)) s, training $((trained - built)) s"
if [ $status -ne 0 ]; then
  echo "Training ended with exit code $status; its last lines above say why." >&2
elif [ -e "$outdir/report.html" ]; then
  echo "Open $outdir/report.html in a browser."
fi
exit $status
