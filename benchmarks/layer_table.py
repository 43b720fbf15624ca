#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Every pass of every layer with our kernels and with Eigen's products, as a table.

usage: layer_table.py build/release/bin/gantry-bench [--models dcgan28,dcgan32] [--batch 64]
"""
import argparse
import json
import subprocess
import sys


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", help="the program gantry-bench")
    parser.add_argument("--models", default="dcgan28,dcgan32")
    parser.add_argument("--batch", default="64")
    parser.add_argument("--threads", default="1")
    return parser.parse_args()


def passes(a, model, kernels):
    """-> {(network, index, layer, pass): JSON line}"""
    command = [a.bench, "layers", "--model", model, "--batch", a.batch, "--threads", a.threads,
               "--kernels", kernels]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    return {(x["network"], x["index"], x["layer"], x["pass"]): x for x in lines}


def main():
    a = arguments()
    print(f"`{' '.join(sys.argv)}`\n")
    for model in a.models.split(","):
        own, eigen = passes(a, model, "own"), passes(a, model, "eigen")
        print(f"| {model} | layer | pass | us | GFLOP/s | of peak | Eigen us | gain |\n"
              "| --- | --- | --- | --- | --- | --- | --- | --- |")
        for key, line in own.items():
            network, index, layer, name = key
            work = (f"{line['gflops']:.0f} | {line['fraction_of_peak']:.2f}"
                    if line["gflops"] > 0 else "- | -")
            print(f"| {network[0].upper()} {index} | {layer} | {name} | {line['us']:.0f} | {work} "
                  f"| {eigen[key]['us']:.0f} | {eigen[key]['us'] / line['us']:.1f} |")
        print()


if __name__ == "__main__":
    main()
