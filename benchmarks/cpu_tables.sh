#!/bin/sh
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
#
# The tables of docs/results/cpu.md that need a machine with nothing else to do.
#
# usage: benchmarks/cpu_tables.sh build/release/bin/gantry-bench [strategy] [peers] [large] [critic]
#
#   strategy  MD-GAN in one process against the same arithmetic in one loop  (about 2 minutes)
#   peers     mlp28, cnn28, dcgan28, dcgan32 against PyTorch and libtorch    (about 6 minutes)
#   large     dcgan64, the same                                              (about 2 minutes)
#   critic    the WGAN-GP critic's step against PyTorch                      (about 2 minutes)
#
# All of them if none is named. PYTHON names the Python with PyTorch (/usr/bin/python3). Models that
# this gantry-bench has not are left out with a sentence.
set -eu
here=$(dirname "$0")
bench=${1:?"expected the path of gantry-bench, found nothing; see the head of $0"}
shift
[ $# -gt 0 ] || set -- strategy peers large critic
python=${PYTHON:-/usr/bin/python3}

has_model() {
  "$bench" step --model "$1" --batch 1 --steps 1 --warmup 0 > /dev/null 2>&1 && return
  echo "$1 is left out: $bench was built without it"
  return 1
}

rounds() { # model batch
  has_model "$1" || return 0
  "$bench" strategy --model "$1" --batch "$2" --workers 4 --threads 2 --steps 20
}

compare() { # model, and what else compare.py is told
  has_model "$1" || return 0
  model=$1
  shift
  "$python" "$here/peer/compare.py" "$bench" --models "$model" --set-ups best --rounds 3 \
    --seconds 1.5 --foreign 0.5 --python "$python" --peers pytorch,libtorch "$@"
}

for table in "$@"; do
  echo "## $table"
  case $table in
    strategy)
      for model in mlp28 dcgan28; do
        for batch in 10 64; do rounds $model $batch; done
      done
      rounds dcgan32 32
      ;;
    peers) for model in mlp28 cnn28 dcgan28 dcgan32; do compare $model; done ;;
    large) compare dcgan64 ;;
    critic)
      compare critic32 --critic-only
      compare wgan_gp32 --critic-only --batch 8 --threads 2
      ;;
    *)
      echo "expected strategy, peers, large or critic, found \"$table\"; see the head of $0" >&2
      exit 2
      ;;
  esac
done
