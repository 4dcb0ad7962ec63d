"""Circuits as layers against their peers in one run: milliseconds of a step, value and gradients, and their ratios.

    python bench/quantum_perf.py [A B C M Q S20 S24] [--threads 1 2] [--repeats 30] [--rounds 3]
                                 [--peers tfq=PYTHON tensorcircuit=PYTHON lightning=PYTHON qulacs=PYTHON qsim=PYTHON]
                             [--out bench/results/quantum_perf.json]

Workloads and peers are those of `quantum_peers.py`, which runs each in a fresh process, pinned to as many cores as it has
threads. They take turns, in another order each round. Wall and CPU time are medians over rounds of the medians over
repeats; the ratio is wall time over that of edubba in the same round, or, of edubba with more threads, over itself with
the first number of threads: median [least, most] over rounds. A row whose values or gradients differ from edubba's by
more than 1e-4 of their norm says so. Where a peer does more or less than we do, `quantum_peers.py` says so;
tensorcircuit is left out of C, which it compiles for most of a minute.

Two more workloads, when asked for: `first`, the first call of edubba with an empty cache of compiled code, in a new
process, and with a new structure (B, 10 qubits) in a warm process; `K26`, 26 qubits, 1 layer, its peak of memory.

The roofline is the time that the machine needs at least for what the plan of the engine asks for: the larger of
arithmetic at the rate of sgemm and of bytes at the rate of a copy in blocks of the same size, both measured in this run,
on one thread. Multiply-adds per amplitude, real numbers, forward and back (states undone: psi and lambda, and
Im <lambda|P|psi>): rotations exp(i theta P) 4 and 10, runs of rotations on one bit 8 and 22, diagonals 4 and 11, the
product state at the beginning 8 and 24, diagonal observables 3 and 3, each other string 2 and 2. Bytes per amplitude,
complex64: a tile or a permutation reads and writes what it changes, 16 forward and 32 back; so does what stands at the
ends, 16 and 32. It leaves out angles, tables, and shuffles within a register.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from quantum_peers import edubba

from edubba.core import machine
from edubba.quantum import engine, kernels

WORKER = Path(__file__).with_name("quantum_peers.py")
DOES = {"tfq": "A B C M Q", "tensorcircuit": "A B", "lightning": "A B C", "qulacs": "A B C", "qsim": "S20 S24"}
COSTS = {kernels.ROTATE: (4, 10), kernels.TURN: (8, 22), kernels.PHASE: (4, 11)}
"""multiply-adds of an amplitude, forward and back"""


def measure(python, who, workload, threads, given, **environment):
    """What the worker prints; of a peer that fails a sentence."""
    line = [python, WORKER, who, workload, "--threads", threads, "--repeats", given.repeats, "--seconds", given.seconds]
    line, own = [str(word) for word in line], os.environ | environment
    try:
        done = subprocess.run(line, env=own, capture_output=True, text=True, timeout=given.limit)
    except subprocess.TimeoutExpired:
        return f"not done in {given.limit:.0f} s"
    if done.returncode and who == "edubba":
        raise SystemExit(done.stderr)
    if done.returncode:
        return f"failed: {(done.stderr.strip().splitlines() or [done.returncode])[-1]}"
    return json.loads(done.stdout.splitlines()[-1])


def needs(workload):
    """Multiply-adds and bytes of a step, and the bytes of a state, from the plans that a step uses."""
    step, used, forward = edubba(workload, 1), [], engine.forward

    def spy(it, x, w, **options):
        used.append((it.plan, len(x)))
        return forward(it, x, w, **options)

    engine.forward = spy
    try:
        step()
    finally:
        engine.forward = forward
    back, sums, moved = workload[0] != "S", 0, 0
    for plan, b in used:
        amplitudes = (-(-b // kernels.LANES) if plan.rows else b) << plan.bits
        ways = [COSTS[row[0]] for row in plan.code] + [(8, 24), (3 * (len(plan.diagonal) > 0),) * 2]
        ways += [(2, 2)] * len(plan.strings)
        sums += amplitudes * sum(ahead + back * behind for ahead, behind in ways)
        moved += amplitudes * (len(plan.stages) + 1) * (48 if back else 16)
    return sums, moved, max(1 << 15, *(8 << plan.bits for plan, _ in used))  # smaller copies time the call alone


def rates(size):
    """Multiply-adds and bytes a second, of sgemm and of copying blocks of `size` bytes; one thread."""
    torch.set_num_threads(1)
    a, source = torch.randn(768, 768), np.ones(size // 4, np.float32)
    target, out, many = np.empty_like(source), torch.empty_like(a), max(1, (1 << 24) // size)
    product, copy = [], []
    for _ in range(15):
        start = time.perf_counter()
        torch.mm(a, a, out=out)
        product.append(time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(many):
            np.copyto(target, source)
        copy.append((time.perf_counter() - start) / many)
    return 768**3 / min(product), 2 * size / min(copy)


def agree(found, ours):
    """Whether projections and norms of values and gradients are the same to 4 digits."""
    pairs = zip(found["checks"], ours["checks"], strict=True)
    return all(abs(a - b) <= 1e-4 * them[1] for it, them in pairs for a, b in zip(it, them, strict=True))


def spread(values):
    low, middle, high = np.percentile(values, [0, 50, 100])
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def load():
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def compare(workload, given, peers):
    """Prints the rows of a workload; what they say, as a list."""
    rows = []
    sides = [("edubba", threads) for threads in given.threads]
    sides += [(who, threads) for threads in given.threads for who in peers if workload in DOES[who].split()]
    found, speeds, (sums, moved, size) = {side: [] for side in sides}, [], needs(workload)
    for number in range(given.rounds):
        turn = number % len(sides)
        for who, threads in sides[turn:] + sides[:turn]:
            failed = any(isinstance(run, str) for run in found[who, threads])
            if not failed:
                run = measure(peers.get(who, sys.executable), who, workload, threads, given)
                found[who, threads].append(run)
        speeds.append(rates(size))
    fma, copy = np.max(speeds, 0)
    least = 1e3 * max(sums / fma, moved / copy)
    for (who, threads), runs in found.items():
        if isinstance(runs[-1], str):
            print(f"| {workload} | {who}, {threads} | {runs[-1]} | | | | |", flush=True)
            rows.append({"workload": workload, "who": who, "threads": threads, "failed": runs[-1]})
            continue
        ours = found["edubba", given.threads[0] if who == "edubba" else threads]
        pairs = list(zip(runs, ours, strict=True))
        ratios = [run["wall"][1] / own["wall"][1] for run, own in pairs]
        low, middle, high = np.median([run["wall"] for run in runs], 0)
        first, cpu = np.median([(run["first"], run["cpu"][1]) for run in runs], 0)
        note = "" if all(agree(*pair) for pair in pairs) else "**results differ**"
        if (who, threads) == ("edubba", 1):
            limit = "arithmetic" if sums / fma > moved / copy else "copying"
            note += f"{middle / least:.2f} of {least:.3g} ms ({limit}; {fma / 1e9:.0f} G/s, {copy / 1e9:.0f} GB/s)"
        print(
            f"| {workload} | {who}, {threads} | {first:.0f} | {middle:.4g} [{low:.4g}, {high:.4g}] | {cpu:.4g} "
            f"| {spread(ratios)} | {note} |",
            flush=True,
        )
        rows.append({
            "workload": workload, "who": who, "threads": threads, "first_ms": first, "wall_ms": [low, middle, high],
            "cpu_ms": cpu, "ratios": ratios, "roofline_ms": least, "agrees": "differ" not in note,
        })  # fmt: skip
    return rows


def first_calls(given):
    """What a first call costs: a row for each kind."""
    kinds = {"no compiled code": ("B", True), "new process": ("B", False), "new structure": ("new", False)}
    print("\n| first call, 10 qubits | layer, ms | first call, ms |\n|---|---|---|")
    for kind, (workload, cold) in kinds.items():
        runs = []
        for _ in range(1 if cold else given.rounds):
            with tempfile.TemporaryDirectory() as empty:
                cache = {"NUMBA_CACHE_DIR": empty} if cold else {}
                runs.append(measure(sys.executable, "edubba", workload, 1, given, **cache))
        print(f"| {kind} | {spread([r['setup'] for r in runs])} | {spread([r['first'] for r in runs])} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=["A", "B", "C", "M", "Q", "S20", "S24"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="of a process, after which no repeat starts")
    parser.add_argument("--limit", type=float, default=200, help="seconds of a process, after which it is given up")
    parser.add_argument("--peers", nargs="+", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "quantum_perf.json")
    given = parser.parse_args()
    peers = dict(pair.split("=", 1) for pair in given.peers)
    print(f"{date.today()}, {machine.processor()}, {machine.cores()} cores, load {load()}\n")
    timed = [workload for workload in given.workloads if workload not in ("first", "K26")]
    if timed:
        print("| workload | who, threads | first call, ms | wall, ms [quartiles] | CPU, ms | ratio | over roofline |")
        print("|---|---|---|---|---|---|---|")
    rows = [row for workload in timed for row in compare(workload, given, peers)]
    if rows:
        about = {
            "date": str(date.today()),
            "machine": machine.processor(),
            "cores": machine.cores(),
            "command": sys.argv,
        }
        about |= {"torch": torch.__version__, "numba": metadata.version("numba"), "rounds": given.rounds}
        given.out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    if "first" in given.workloads:
        first_calls(given)
    if "K26" in given.workloads:
        found = measure(sys.executable, "edubba", "K26", given.threads[0], given)
        print(f"\nK26: {found['wall'][1] / 1e3:.1f} s a step, {found['peak_mb'] / 1024:.2f} GiB at most", flush=True)
    print(f"\nload at the end {load()}")


if __name__ == "__main__":
    main()
