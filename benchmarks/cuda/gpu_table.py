# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""What the rounds of a benchmark say: medians, spreads, ratios with an interval, as a table."""
import random
import statistics

RESAMPLES = 400


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def interval(theirs: list[float], ours: list[float]) -> tuple[float, float]:
    """Of the ratio of medians, 95 %, by drawing rounds anew."""
    draw = random.Random(1)
    ratios = sorted(statistics.median(draw.choices(theirs, k=len(theirs))) /
                    statistics.median(draw.choices(ours, k=len(ours))) for _ in range(RESAMPLES))
    return ratios[int(0.025 * RESAMPLES)], ratios[int(0.975 * RESAMPLES)]


def by_set_up(lines: list[dict]) -> dict:
    """{(model, batch): {(impl, set-up): {"runs": [[ms, ...], ...], "error": text, ...}}}"""
    groups: dict = {}
    for line in lines:
        own = groups.setdefault((line["model"], line["batch"]), {}).setdefault(
            (line["impl"], line["set_up"]), {"runs": [], "error": "", "line": line})
        if line.get("rounds_ms"):
            own["runs"].append(line["rounds_ms"])
        elif "error" in line:
            own["error"] = line["error"]
    return groups


def summary(lines: list[dict]) -> list[dict]:
    """A line per set-up; ours with their ratio to the best of PyTorch."""
    found = []
    for (model, batch), set_ups in by_set_up(lines).items():
        rounds = {key: sum(of["runs"], []) for key, of in set_ups.items()}
        peers = {k: statistics.median(v) for k, v in rounds.items() if k[0] == "pytorch" and v}
        best = min(peers, key=peers.get) if peers else None
        for key, of in set_ups.items():
            line = {"model": model, "batch": batch, "impl": key[0], "set_up": key[1]}
            ms = rounds[key]
            if not ms:
                found.append(line | {"error": of["error"] or "no result"})
                continue
            medians = [statistics.median(run) for run in of["runs"]]
            line |= {"median_ms": statistics.median(ms), "p25_ms": quantile(ms, 0.25),
                     "p75_ms": quantile(ms, 0.75), "min_ms": min(ms), "rounds": len(ms),
                     "runs_differ": max(medians) / min(medians) - 1,
                     "images_per_s": 1e3 * batch / statistics.median(ms)}
            for name in ("kernels_per_step", "graphs_per_step", "peak_bytes"):
                if name in of["line"]:
                    line[name] = of["line"][name]
            if best and key[0] == "gantry" and "rehearsed" not in key[1]:
                low, high = interval(rounds[best], ms)
                line |= {"best_peer": best[1], "ratio": peers[best] / line["median_ms"],
                         "ratio_low": low, "ratio_high": high}
            found.append(line)
    return found


def table(lines: list[dict]) -> str:
    rows = ["| model | batch | set-up | ms per step | quartiles | two runs differ by | kernels | "
            "best PyTorch / ours (95 %) |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for s in summary(lines):
        head = f"| {s['model']} | {s['batch']} | {s['impl']} {s['set_up']} | "
        if "error" in s:
            rows.append(head + f"{s['error'][:80]} | | | | |")
            continue
        ratio = (f"{s['ratio']:.2f} ({s['ratio_low']:.2f} .. {s['ratio_high']:.2f}) of "
                 f"{s['best_peer']}" if "ratio" in s else "")
        rows.append(head + f"{s['median_ms']:.4f} | {s['p25_ms']:.4f} .. {s['p75_ms']:.4f} | "
                    f"{100 * s['runs_differ']:.1f} % | {s.get('kernels_per_step', '')} | {ratio} |")
    return "\n".join(rows) + "\n"
