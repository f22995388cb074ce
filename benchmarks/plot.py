"""
Draws what L{benchmarks.hits} found: answers per second, all divided by the best nginx configuration of the run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.cases import CASES, KLEIN, NODE
from benchmarks.ratios import best, ratio
from benchmarks.report import Figures

#: Shape and colour of each.
_MARKS: Mapping[str, tuple[str, str]] = {
    NODE: ("o", "#1f5fbf"),
    "Varnish": ("s", "#c06a1a"),
    "static.File": ("^", "#7a8a3a"),
    KLEIN: ("v", "#8a6aa8"),
}
_LEAST, _MOST = 0.01, 4.0


def read_rounds(path: Path) -> dict[str, dict[str, Sequence[Figures]]]:
    """
    The rounds of each server, by case.
    """
    found: dict[str, dict[str, Sequence[Figures]]] = {}
    for key, rounds in json.loads(path.read_text(encoding="utf-8"))["rounds"].items():
        title, _, name = key.partition(": ")
        found.setdefault(title, {})[name] = rounds
    return found


def draw(axes: Axes, found: Mapping[str, Mapping[str, Sequence[Figures]]], heading: str) -> None:
    """
    One panel: a line for each case.
    """
    targets = {case.title: case.target for case in CASES}
    titles = [title for title in found if best(found[title]) is not None]
    for at, title in enumerate(reversed(titles)):
        by_name = found[title]
        nginx = by_name[best(by_name) or ""]
        for name, (mark, colour) in _MARKS.items():
            if name not in by_name:
                continue
            value = ratio(by_name[name], nginx, "perSecond")
            axes.plot([value.least, value.most], [at, at], color=colour, linewidth=1, alpha=0.6)
            axes.plot([value.median], [at], mark, color=colour, markersize=6, label=name if at == 0 else None)
        target = targets.get(title)
        if target is not None:
            axes.plot([target, target], [at - 0.35, at + 0.35], color="#b02020", linewidth=1.5)
    axes.axvline(1.0, color="#808080", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(_LEAST, _MOST)
    ticks = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 2.0, 4.0)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(titles)), list(reversed(titles)))
    axes.grid(axis="x", linewidth=0.4)
    axes.set_title(heading, loc="left", fontsize=10)


def main() -> None:
    """
    Write the plot.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="where benchmarks.hits has written its figures")
    parser.add_argument("output", type=Path, help="SVG")
    arguments = parser.parse_args()
    panels = [
        (heading, read_rounds(path))
        for name, heading in (("hits", "one process each"), ("hits_two_workers", "two processes each"))
        if (path := arguments.results / f"{name}.json").exists()
    ]
    # The same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "hits"
    figure = Figure(figsize=(9, 1.6 + 0.34 * sum(len(found) for _, found in panels)), layout="constrained")
    heights = [len(found) for _, found in panels]
    every = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, (heading, found) in zip(every, panels, strict=True):
        draw(axes, found, heading)
    labels = {label: handle for axes in every for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=len(labels), frameon=False)
    every[-1].set_xlabel("answers per second / the best nginx configuration; red: what is to be reached")
    figure.savefig(arguments.output, metadata={"Date": None})


if __name__ == "__main__":
    main()
