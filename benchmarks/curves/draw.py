"""Draw the curves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.hashsalt": "curves",
        "svg.fonttype": "path",
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e3e3e3",
        "legend.frameon": False,
    }
)
COLOURS = ("#c1432e", "#1f6fb4", "#3d8b40", "#8b5aa8", "#c98a1b", "#55606b")
SIZE = (7.2, 3.6)
WINDOW = 0.5
"""Seconds over which a share is taken."""
WORKER_SECONDS = 4.0
"""What four slots give in a second."""


@contextmanager
def picture(path: Path, title: str) -> Iterator[Axes]:
    """Draw one picture to *path*."""
    figure, axes = plt.subplots(figsize=SIZE, facecolor="white")
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    yield axes
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)


def shares_of(looks: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Return, by tenant, its share of the worker time of the half second before each moment."""
    tenants = [tenant for tenant in looks[-1]["used"] if tenant != "warm-up"]
    curves: dict[str, list[tuple[float, float]]] = {tenant: [] for tenant in sorted(tenants)}
    first = 0
    for look in looks:
        while look["at"] - looks[first]["at"] > WINDOW:
            first += 1
        before = looks[first]["used"]
        got = {tenant: look["used"].get(tenant, 0) - before.get(tenant, 0) for tenant in tenants}
        total = sum(got.values())
        if look["at"] >= WINDOW and total > 0:
            for tenant, seconds in got.items():
                curves[tenant].append((look["at"], 100 * seconds / total))
    return curves


def draw_shares(
    path: Path,
    title: str,
    looks: list[dict[str, Any]],
    marks: dict[float, str],
    entitled: dict[str, list[Any]],
) -> None:
    """Draw each tenant's share over time; *entitled* gives (from, to, percent) by tenant, drawn dashed."""
    with picture(path, title) as axes:
        for colour, (tenant, curve) in zip(COLOURS, shares_of(looks).items(), strict=False):
            axes.plot(*zip(*curve, strict=True), color=colour, linewidth=2, label=tenant)
            for begin, end, percent in entitled.get(tenant, []):
                axes.plot([begin, end], [percent] * 2, color=colour, linewidth=1, linestyle=(0, (4, 3)))
        for moment, text in marks.items():
            axes.axvline(moment, color="#9a9a9a", linewidth=1)
            axes.annotate(
                text, (moment, 103), ha="center", fontsize=9, color="#444444", annotation_clip=False
            )
        axes.set(xlabel="seconds", ylabel="share of worker time, %", ylim=(0, 102))
        axes.title.set_position((0, 1.1))
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=20 if marks else 8)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="solid: got\ndashed: entitled")


def draw_waits(path: Path, rows: list[dict[str, float]]) -> None:
    """Draw the wait of quiet tenants against the size of the flood's backlog."""
    with picture(path, "Wait of 50 quiet tenants beside one tenant's flood") as axes:
        backlogs = [row["backlog"] for row in rows]
        for colour, name, label in (
            (COLOURS[0], "p99", "99 of 100 wait less"),
            (COLOURS[1], "p50", "median"),
        ):
            axes.plot(
                backlogs,
                [1000 * row[name] for row in rows],
                color=colour,
                marker="o",
                linewidth=2,
                label=label,
            )
        axes.axhline(70, color="#777777", linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("one job of the flood (20 ms) + 50 ms", (backlogs[0], 72), fontsize=9, color="#444444")
        axes.set(xlabel="jobs in the flood's backlog", ylabel="ms", xscale="log")
        axes.set_ylim(0, max(80.0, 1.15 * max(1000 * row["p99"] for row in rows)))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def draw_costs(path: Path, rows: list[dict[str, Any]]) -> None:
    """Draw the server's time of each verb against the number of tenants."""
    verbs = [name for name in rows[0] if name not in {"tenants", "blocked", "bytes_a_job"}]
    with picture(path, "Redis's time for a job, by verb") as axes:
        for colour, verb in zip(COLOURS, verbs, strict=False):
            for blocked, style in ((0.0, "-"), (0.9, ":")):
                some = [row for row in rows if row["blocked"] == blocked]
                axes.plot(
                    [row["tenants"] for row in some],
                    [row[verb] for row in some],
                    color=colour,
                    linestyle=style,
                    marker="o",
                    markersize=4,
                    linewidth=2,
                    label=verb if blocked == 0 else None,
                )
        axes.set(xlabel="tenants", ylabel="microseconds", xscale="log")
        axes.set_ylim(bottom=0)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="dotted: nine in\nten blocked")


def draw(found: dict[str, Any], directory: Path) -> None:
    """Draw every picture into *directory*."""
    directory.mkdir(parents=True, exist_ok=True)
    draw_shares(
        directory / "share-flood.svg",
        "A flood, and two tenants that come later",
        found["flood"],
        {3: "a comes", 6: "b comes"},
        {
            "flood": [(0, 3, 100), (3, 6, 50), (6, 10, 100 / 3)],
            "a": [(3, 6, 50), (6, 10, 100 / 3)],
            "b": [(6, 10, 100 / 3)],
        },
    )
    draw_shares(
        directory / "share-long-jobs.svg",
        "Jobs of 340 ms beside jobs of 10 ms",
        found["long_jobs"],
        {},
        {"long": [(0, 14, 50)], "short": [(0, 14, 50)]},
    )
    draw_shares(
        directory / "share-new-weights.svg",
        "New weights on the backlog there is",
        found["new_weights"],
        {4: "a gets weight 4", 8: "b gets weight 8"},
        {"a": [(0, 4, 50), (4, 8, 80), (8, 12, 100 / 3)], "b": [(0, 4, 50), (4, 8, 20), (8, 12, 200 / 3)]},
    )
    draw_waits(directory / "wait-backlog.svg", found["waits"])
    draw_costs(directory / "verb-cost.svg", found["costs"])
