"""
All benchmarks, one after another, and the plot of what they found. Nothing is installed for it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from benchmarks.processes import ROOT
from benchmarks.servers import PACKAGES

_RESULTS = ROOT / "benchmarks" / "results"
_PLOT = ROOT / "docs" / "performance-hits.svg"

#: What is written, by which script, with which arguments.
_ALL: Sequence[tuple[str, str, Sequence[str]]] = (
    ("hits", "hits", ()),
    ("hits_two_workers", "hits", ("--workers", "2")),
    # With all processors for Varnish's threads.
    ("hits_anywhere", "hits", ("--anywhere", "--case", "ranges of")),
    ("cold_download", "cold_download", ()),
    ("cold_start", "cold_start", ()),
    ("shared_download", "shared_download", ()),
    ("slow_readers", "slow_readers", ()),
    ("seeks", "seeks", ()),
    ("footprint", "footprint", ()),
)
_QUICK: Sequence[tuple[str, str, Sequence[str]]] = (
    ("hits", "hits", ("--quick", "--rounds", "1", "--seconds", "1")),
    ("cold_download", "cold_download", ("--size", "256", "--rounds", "1")),
)


def main() -> int:
    """
    @return: the exit status: 1 where a target was missed, or something could not be measured.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a part, in less than two minutes; keeps no results")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="a directory for every figure")
    parser.add_argument("--plot", type=Path, default=_PLOT, help="where to draw")
    arguments = parser.parse_args()
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if missing:
        print(f"Not everything is installed; Debian has it in: {' '.join(missing)}", file=sys.stderr)
    failed = []
    for name, script, more in _QUICK if arguments.quick else _ALL:
        print(f"\n{name}\n{'-' * len(name)}\n", flush=True)
        output = [] if arguments.quick else ["--output", str(arguments.results / f"{name}.json")]
        began = monotonic()
        ended = subprocess.run([sys.executable, "-m", f"benchmarks.{script}", *more, *output], cwd=ROOT, check=False)
        print(f"{name}: {monotonic() - began:.0f} s", file=sys.stderr)
        if ended.returncode:
            failed.append(name)
    if not arguments.quick:
        plot = [sys.executable, "-m", "benchmarks.plot", str(arguments.results), str(arguments.plot)]
        subprocess.run(plot, cwd=ROOT, check=True)
    if failed:
        print(f"\nNot all was reached, or measured, in: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
