#!/usr/bin/env python3
# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Every pass of every layer with our kernels, with Eigen's products and in PyTorch, as a table.

usage: layer_table.py build/release/bin/gantry-bench [--models dcgan28,dcgan32] [--batch 64]
                      [--python /usr/bin/python3]

PyTorch's columns are there with --python, a Python that has torch. Its batch norm computes the
gradient of its input and of its weights in one pass, in the row of the input gradient.
"""
import argparse
import json
import os
import subprocess
import sys

WITH_WEIGHTS = ("linear", "conv2d", "conv_transpose2d", "batch_norm")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", help="the program gantry-bench")
    parser.add_argument("--models", default="dcgan28,dcgan32")
    parser.add_argument("--batch", default="64")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--python", help="a Python with torch, for PyTorch's columns")
    return parser.parse_args()


def passes(a, model, kernels):
    """-> {(network, index, layer, pass): JSON line}"""
    command = [a.bench, "layers", "--model", model, "--batch", a.batch, "--threads", a.threads,
               "--kernels", kernels]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    return {(x["network"], x["index"], x["layer"], x["pass"]): x for x in lines}


def torch_passes(a, model, own):
    """-> {(network, index, layer, pass): microseconds in PyTorch}, by the order of the layers."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer", "torch_layers.py")
    command = [a.python, script, "--model", model, "--batch", a.batch, "--threads", a.threads]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    theirs = {}
    for line in map(json.loads, output.splitlines()):
        place = (line["network"], line["order"], line["layer"], line["pass"])
        theirs[place] = line["us"]
    indices = {}
    for network, index, layer, _ in own:
        if layer in WITH_WEIGHTS and index not in indices.setdefault(network, []):
            indices[network].append(index)
    found = {(n, indices[n].index(i), layer, p): (n, i, layer, p) for n, i, layer, p in own
             if layer in WITH_WEIGHTS}
    strangers = [place for place in theirs if place not in found]
    if strangers:
        sys.exit(f"expected the same layers in both programs, found {strangers[0]} in PyTorch "
                 f"alone; the networks of torch_gan_step.py and of {model} must be equal")
    return {found[place]: us for place, us in theirs.items()}


def main():
    a = arguments()
    print(f"`{' '.join(sys.argv)}`\n")
    for model in a.models.split(","):
        own, eigen = passes(a, model, "own"), passes(a, model, "eigen")
        theirs = torch_passes(a, model, own) if a.python else {}
        print(f"| {model} | layer | pass | us | GFLOP/s | of peak | Eigen us | Eigen / ours "
              + ("| PyTorch us | PyTorch / ours |" if a.python else "|") + "\n"
              + "| --- " * (10 if a.python else 8) + "|")
        for key, line in own.items():
            network, index, layer, name = key
            us = line["us"]
            work = (f"{line['gflops']:.0f} | {line['fraction_of_peak']:.2f}"
                    if line["gflops"] > 0 else "- | -")
            row = (f"| {network[0].upper()} {index} | {layer} | {name} | {us:.0f} | {work} "
                   f"| {eigen[key]['us']:.0f} | {eigen[key]['us'] / us:.1f} |")
            if a.python:
                row += (f" {theirs[key]:.0f} | {theirs[key] / us:.1f} |" if key in theirs
                        else " - | - |")
            print(row)
        print()


if __name__ == "__main__":
    main()
