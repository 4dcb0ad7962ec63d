"""Charts, drawn with matplotlib at two widths, one for screens and one for phones; the page shows the one that fits."""

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from markupsafe import Markup

from edubba.core.report.page import PALETTE, Number, amount

Interval = tuple[Number, Number | None, Number | None]
"""value, low, high; low and high None where there is no interval"""

WIDE, NARROW, HALF = 672, 350, 330
SERIES = ("clay", "lapis", "ochre", "teal", "plum")
MARKERS = ("o", "D", "s", "^", "v")
MOST_ROWS = 45
COLOUR = {name: f"#0000{i:02x}" for i, name in enumerate(PALETTE, start=1)}
"""What matplotlib draws with; `svg` puts the page's variables in their place."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edubba",
    "text.parse_math": False,
    "font.size": 12.0,
    "axes.labelsize": 12.0,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "legend.fontsize": 12.0,
    "text.color": COLOUR["ink"],
    "axes.labelcolor": COLOUR["muted"],
    "axes.edgecolor": COLOUR["muted"],
    "xtick.color": COLOUR["muted"],
    "ytick.color": COLOUR["muted"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": COLOUR["rule"],
    "grid.linewidth": 0.8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.0,
    "legend.handletextpad": 0.3,
    "legend.columnspacing": 1.3,
}


def svg(figure: Any, *, kind: str = "") -> Markup:
    """A matplotlib `Figure` as SVG for the inside of a page: no date, text as text, the page's colours.

    The same figure gives the same bytes. `kind` is its CSS class.
    """
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({k: STYLE[k] for k in ("svg.fonttype", "svg.hashsalt")}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's fonts will draw it
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = out.getvalue()
    text = re.sub(r"\s*\n\s*", " ", text[text.index("<svg") :])
    text = re.sub(r"<style.*?</style>", "", text)  # a style inside an inline SVG rules the whole page
    prefix = hashlib.sha256(text.encode()).hexdigest()[:8]
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))

    def mend(tag: re.Match[str]) -> str:
        """Tags alone: what stands between them is the user's."""
        text = re.sub(r"font-family: [^;\"]*;? ?", "", tag[0])
        text = re.sub(r"(\.\d\d)\d+", r"\1", text).replace("xlink:href", "href")
        text = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
        text = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}-", text)
        for name, colour in COLOUR.items():
            text = text.replace(colour, f"var(--{name})")
        return text

    text = re.sub(r"<[^>]*>", mend, text)
    width, height = figure.get_size_inches() * 72
    return Markup(re.sub(r"^<svg[^>]*>", f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}">', text))


def responsive(draw: Callable[[int], Any], widths: Mapping[str, int]) -> Markup:
    """What `draw(width in pixels)` draws, once for each kind of screen."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return Markup("").join(svg(draw(width), kind=kind) for kind, width in widths.items())


def both(draw: Callable[[int], Any]) -> Markup:
    return responsive(draw, {"wide": WIDE, "narrow": NARROW})


def canvas(width: int, height: Number) -> Any:
    """A figure of that many pixels (one point is one pixel)."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, float(height) / 72), dpi=72)


def axes(figure: Any, left: Number, top: Number, right: Number, bottom: Number) -> Any:
    """Axes with these margins in pixels."""
    width, height = figure.get_size_inches() * 72
    return figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )


def shorten(text: str, length: int) -> str:
    """At most `length` letters.

    >>> shorten("chrysanthemum", 8)
    'chrysan…'
    """
    text = " ".join(str(text).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def spread(y: Sequence[Number], gap: Number, low: Number, high: Number) -> Float[np.ndarray, " n"]:
    """Positions nearest to `y` (least squares) that are `gap` apart within [low, high]; closer where they do not fit.

    >>> spread([1.0, 1.0, 5.0], 2.0, 0.0, 10.0).tolist()
    [0.0, 2.0, 5.0]
    """
    from scipy.optimize import isotonic_regression

    wanted = np.asarray(y, dtype=float)
    order = np.argsort(wanted, kind="stable")
    steps = min(gap, (high - low) / max(len(order) - 1, 1)) * np.arange(len(order))
    moved = np.empty(len(order))
    moved[order] = np.clip(isotonic_regression(wanted[order] - steps).x, low, high - steps[-1]) + steps
    return moved


def chosen_rows(values: Sequence[Number], most: int = MOST_ROWS) -> tuple[list[int], int]:
    """Rows to draw, best first, and after how many of them a gap stands (0: all are drawn): past `most` the best and worst 20."""
    order = sorted(range(len(values)), key=lambda i: -values[i])
    return (order, 0) if len(order) <= most else (order[:20] + order[-20:], 20)


def dots(
    rows: Mapping[str, Sequence[Interval | None]], *, xlabel: str, series: Sequence[str], line: Number | None = None
) -> Markup:
    """Dots with their intervals, a row for each class or method, the best by the first series on top.

    Parameters
    ----------
    rows
        For each row's name one (value, low, high) for each series; None where it was not measured.
    xlabel
        With the unit.
    series
        One or more names; colour and shape tell them apart. More than 45 rows: the best 20 and the worst 20.
    line
        Where a line stands that the dots are to be held against.
    """
    names = list(rows)
    order, gap = chosen_rows([row[0][0] if row[0] else -np.inf for row in rows.values()])
    finite = [x for i in order for entry in rows[names[i]] if entry for x in entry if x is not None]
    finite += [] if line is None else [line]
    shared = [sum(entry is not None for entry in row) > 1 for row in rows.values()]

    def draw(width: int) -> Any:
        letters = 30 if width == WIDE else 15
        labels = [shorten(names[i], letters) for i in order]
        left = 16 + 6.6 * max(map(len, labels))
        y = np.arange(len(order)) + (np.arange(len(order)) >= gap if gap else 0)
        top = 34 if len(series) > 1 else 10
        pitch = 23 if len(series) == 1 else 26
        figure = canvas(width, top + pitch * (y[-1] + 1) + 46)
        ax = axes(figure, left, top, 40 if len(series) == 1 else 12, 46)
        single = len(series) == 1
        for k, name in enumerate(series):
            aside = 0.0 if single else 0.17 * (2 * k / (len(series) - 1) - 1)
            colour = COLOUR[SERIES[k % len(SERIES)]]
            found = [(y[j] + (aside if shared[i] else 0), rows[names[i]][k]) for j, i in enumerate(order)]
            found = [(at, entry) for at, entry in found if entry is not None]
            for at, (_, low, high) in found:
                if low is not None:
                    ax.plot([low, high], [at, at], color=colour, linewidth=2.2, alpha=0.5, solid_capstyle="round")
            ax.plot(
                [entry[0] for _, entry in found], [at for at, _ in found], MARKERS[k % len(MARKERS)],
                color=colour, markersize=7 if k == 0 else 6, markeredgewidth=1.6,
                markerfacecolor=colour if k == 0 else COLOUR["paper"], label=name, zorder=3, clip_on=False,
            )  # fmt: skip
            if single:
                for at, (value, _, _) in found:
                    ax.annotate(
                        amount(value), (1, at), xycoords=("axes fraction", "data"), xytext=(38, 0),
                        textcoords="offset points", ha="right", va="center", color=COLOUR["muted"], fontsize=11.5,
                    )  # fmt: skip
        if line is not None:
            ax.axvline(line, color=COLOUR["muted"], linewidth=1.2)
        if gap:
            hidden = len(names) - len(order)
            ax.text(0.5, gap, f"{hidden} more between", transform=ax.get_yaxis_transform(), ha="center", va="center",
                    color=COLOUR["muted"], bbox={"facecolor": COLOUR["paper"], "edgecolor": "none", "pad": 3})  # fmt: skip
        ax.set_yticks(y, labels, color=COLOUR["ink"])
        ax.set_ylim(y[-1] + 0.6, -0.6)
        ax.set_xlabel(xlabel, loc="left")
        margin = 0.03 * (max(finite) - min(finite)) or 1.0
        ax.set_xlim(min(finite) - margin, max(finite) + margin)
        ax.spines["left"].set_visible(False)
        ax.spines["bottom"].set_visible(False)
        ax.grid(axis="y", linestyle=(0, (1, 3)), linewidth=1)
        if not single:
            ax.legend(loc="lower left", bbox_to_anchor=(0, 1, 1, 0), ncols=len(series), borderaxespad=0.6)
        return figure

    return both(draw)


def lines(
    series: Mapping[str, Sequence[tuple[Number, Number, Number | None, Number | None]]],
    *,
    xlabel: str,
    ylabel: str,
    ticks: Mapping[Any, str],
    dashed: Sequence[str] = (),
) -> Markup:
    """Curves over a logarithmic x with interval bands, each named at its end.

    Parameters
    ----------
    series
        For each name its points (x, value, low, high), x positive.
    ticks
        Where x is marked, and how.
    dashed
        Names drawn dashed: what the others are to be compared with.
    """

    def draw(width: int) -> Any:
        right = 22 + 6.6 * max(len(name) for name in series)
        height = 390 if width == WIDE else 310
        figure = canvas(width, height)
        ax = axes(figure, 40, 30, right, 48)
        ends = []
        for k, (name, points) in enumerate(series.items()):
            colour = COLOUR[SERIES[k % len(SERIES)]]
            points = sorted(points, key=lambda point: point[0])
            x, value, low, high = (np.array(c, dtype=float) for c in zip(*points, strict=True))
            filled = COLOUR["paper"] if name in dashed else colour
            style: dict[str, Any] = {
                "color": colour,
                "marker": MARKERS[k % len(MARKERS)],
                "markersize": 6,
                "markerfacecolor": filled,
            }
            style |= {"markeredgewidth": 1.5, "zorder": 3}
            ax.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
            ax.plot(x, value, linestyle=(0, (4, 3)) if name in dashed else "-", **style)
            ends.append((value[-1], name, style))
        ax.set_xscale("log")
        ax.set_xticks(*apart(ticks, (width - 40 - right) / 27))
        ax.minorticks_off()
        ax.set_xlabel(xlabel, loc="left")
        note(ax, -40, height - 30 - 48 + 20, ylabel, color=COLOUR["muted"], va="center")
        bottom, top = ax.get_ylim()
        ax.set_ylim(bottom, top)
        unit = (top - bottom) / (height - 78)
        pixel = 1 / (width - 40 - right)
        names = spread([y for y, _, _ in ends], 17 * unit, bottom, top)
        for (_, name, style), at in zip(ends, names, strict=True):
            ax.plot([1 + 11 * pixel], [at], transform=ax.get_yaxis_transform(), clip_on=False, **style)
            ax.text(1 + 19 * pixel, at, name, transform=ax.get_yaxis_transform(), va="center_baseline")
        ax.grid(axis="x", visible=False)
        ax.spines["left"].set_visible(False)
        return figure

    return both(draw)


def histogram(
    values: Float[np.ndarray, " n"],
    *,
    name: str,
    xlabel: str,
    law: tuple[str, Callable[[np.ndarray], np.ndarray]] | None = None,
    points: tuple[str, Sequence[Number]] | None = None,
    marks: Mapping[str, Interval] | None = None,
    threshold: tuple[str, Number] | None = None,
) -> Markup:
    """Bars of how often each value occurs, and what they are to be compared with.

    Parameters
    ----------
    values
        What is counted; not finite ones are left out.
    name
        What the values are, for the legend.
    xlabel
        With the unit.
    law
        Name and density of the law that the values should follow, drawn over the bars.
    points
        Name and values of a few further cases, drawn on the axis.
    marks
        For each name a value with its interval, drawn as a line from the axis up to its name.
    threshold
        Name of a dashed line, and where it stands.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(values, bins=min(40, max(8, round(len(values) ** 0.5))))
    named = [(text, at, low, high) for text, (at, low, high) in (marks or {}).items()]
    named += [(threshold[0], threshold[1], None, None)] if threshold else []
    reach = [
        *edges[[0, -1]],
        *(points[1] if points else ()),
        *(x for _, *three in named for x in three if x is not None),
    ]

    def draw(width: int) -> Any:
        top = 34 + 20 * len(named)
        height = (320 if width == WIDE else 250) + top
        figure = canvas(width, height)
        ax = axes(figure, 40, top, 12, 48)
        span = max(reach) - min(reach)
        ax.set_xlim(min(reach) - 0.04 * span, max(reach) + 0.04 * span)
        ax.stairs(counts, edges, fill=True, color=COLOUR["slate"], alpha=0.45, linewidth=0, label=name)
        peak = counts.max()
        if law:
            x = np.linspace(*ax.get_xlim(), 400)
            expected = law[1](x) * counts.sum() * (edges[1] - edges[0])
            ax.plot(x, expected, color=COLOUR["lapis"], linewidth=1.8, label=law[0])
            peak = max(peak, expected.max())
        if points:
            ax.plot(
                points[1], np.zeros(len(points[1])), "D", color=COLOUR["ochre"], markersize=6, clip_on=False, zorder=4,
                linestyle="none", markeredgewidth=0, label=points[0],
            )  # fmt: skip
        ax.set_ylim(0, 1.06 * peak)
        plot = height - top - 48
        middle = sum(ax.get_xlim()) / 2
        # names stand on the side of the middle; in this order no line runs through the name of another
        order = sorted(named, key=lambda line: (line[1] > middle, line[1] if line[1] <= middle else -line[1]))
        for i, (text, at, low, high) in enumerate(order):
            dashed = threshold is not None and text == threshold[0]
            colour = COLOUR["muted" if dashed else "clay"]
            up = (plot + 10 + 20 * (len(order) - 1 - i)) / plot
            across = ax.get_xaxis_transform()
            if low is not None:
                ax.axvspan(low, high, color=colour, alpha=0.16, linewidth=0)
            style: dict[str, Any] = {"linestyle": (0, (4, 3))} if dashed else {}
            ax.plot(
                [at, at],
                [0, up],
                transform=across,
                color=colour,
                linewidth=1.2 if dashed else 2,
                clip_on=False,
                zorder=3,
                **style,
            )
            ax.annotate(
                text, (at, up), xycoords=across, xytext=(-6 if at > middle else 6, 0), textcoords="offset points",
                color=colour, ha="right" if at > middle else "left", va="center", zorder=5,
                bbox={"facecolor": COLOUR["paper"], "edgecolor": "none", "pad": 1},
            )  # fmt: skip
        ax.set_xlabel(xlabel, loc="left")
        ax.grid(axis="x", visible=False)
        ax.spines["left"].set_visible(False)
        ax.locator_params(axis="x", nbins=7 if width == WIDE else 5)
        legend = ax.legend(
            loc="upper left", bbox_to_anchor=(-40 / (width - 52), 1 + (top - 4) / plot), ncols=3, handlelength=1.2,
            fontsize=12 if width == WIDE else 11,
        )  # fmt: skip
        legend.set_in_layout(False)
        return figure

    return both(draw)


def steps(y: Float[np.ndarray, " n"], *, xlabel: str, ylabel: str, levels: Mapping[str, Number]) -> Markup:
    """What stood after each of n steps, starting from 0, with named levels to hold it against."""

    def draw(width: int) -> Any:
        height = 320 if width == WIDE else 280
        figure = canvas(width, height)
        ax = axes(figure, 40, 56, 12, 48)
        x, value = np.arange(len(y) + 1), np.concatenate([[0.0], y])
        for k, (name, level) in enumerate(levels.items()):
            dashes = (0, (4, 3) if k == 0 else (1, 2))
            ax.axhline(level, color=COLOUR["muted"], linewidth=1.2, linestyle=dashes, label=name)
        ax.step(x, value, where="post", color=COLOUR["clay"], linewidth=2, zorder=3)
        ax.plot(x[-1:], value[-1:], "o", color=COLOUR["clay"], markersize=7, clip_on=False, zorder=4)
        everything = [*value, *levels.values()]
        margin = 0.12 * (max(everything) - min(everything)) or 1.0
        ax.set_ylim(min(everything) - margin, max(everything) + margin)
        ax.set_xlim(0, len(y))
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel(xlabel, loc="left")
        note(ax, -40, height - 56 - 48 + 46, ylabel, color=COLOUR["muted"], va="center")
        ax.legend(loc="lower left", bbox_to_anchor=(-40 / (width - 52), 1, 1, 0), borderaxespad=0.7, ncols=2)
        ax.grid(axis="x", visible=False)
        ax.spines["left"].set_visible(False)
        return figure

    return both(draw)


def apart(ticks: Mapping[Any, str], most: Number) -> tuple[list[Number], list[str]]:
    """Ticks of a logarithmic axis and their texts; those nearer than a part in `most` share one text.

    >>> apart({5: "5", 20: "20", 20.5: "10 %", 500: "all"}, 10.0)
    ([5, 20, 500], ['5', '20, 10 %', 'all'])
    """
    gap = np.log(max(ticks) / min(ticks)) / most
    at: list[Number] = []
    texts: list[str] = []
    for x, text in sorted(ticks.items()):
        if at and np.log(x / at[-1]) < gap:
            texts[-1] += f", {text}"
        else:
            at.append(x)
            texts.append(text)
    return at, texts


def note(ax: Any, x: Number, y: Number, text: str, **style: Any) -> None:
    """Text `x` and `y` pixels from the axes' lower left corner."""
    style = {"color": COLOUR["muted"]} | style
    ax.annotate(text, (0, 0), xycoords="axes fraction", xytext=(x, y), textcoords="offset points", **style)


def curves(panels: Mapping[str, tuple[Sequence[Number], Sequence[Number]]], *, xlabel: str) -> Markup:
    """Small multiples: a panel for each measure, (x, y), its last value written out.

    Long series are averaged in 200 bins of equal width.
    """
    binned = {name: bins(np.asarray(x, dtype=float), np.asarray(y, dtype=float)) for name, (x, y) in panels.items()}
    end = max(float(x[-1]) for x, _ in binned.values())

    def draw(width: int) -> Any:
        columns = 3 if width == WIDE else 2
        rows = -(-len(binned) // columns)
        cell, height = (width + 16) / columns, 176
        figure = canvas(width, rows * height + 14)
        for i, (name, (x, y)) in enumerate(binned.items()):
            row, column = divmod(i, columns)
            left = column * cell + 34
            ax = axes(
                figure, left, row * height + 60, width - (column + 1) * cell + 16 + 14, (rows - 1 - row) * height + 38
            )
            colour = COLOUR["clay"]
            ax.plot(x, y, color=colour, linewidth=1.6, marker="o" if len(x) <= 15 else None, markersize=3.5)
            ax.set_xlim(0, end * 1.02)
            ax.locator_params(axis="x", nbins=4)
            ax.locator_params(axis="y", nbins=4)
            ax.margins(y=0.12)
            ax.spines["left"].set_visible(False)
            ax.grid(axis="x", visible=False)
            ax.tick_params(labelsize=10.5)
            if end <= 0:
                ax.set_xticks([])
            top = height - 98
            note(ax, -34, top + 39, name, color=COLOUR["ink"], fontsize=12)
            note(ax, -34, top + 23, f"last {three_figures(y[-1])}", color=COLOUR["muted"], fontsize=11)
            if row == rows - 1 or i + columns >= len(binned):
                ax.set_xlabel(xlabel, loc="left", fontsize=10.5)
        return figure

    return both(draw)


def three_figures(x: Number) -> str:
    """Three figures, no exponent for usual sizes.

    >>> three_figures(0.01234), three_figures(-2.5), three_figures(1234.5)
    ('0.0123', '−2.5', '1,234')
    """
    text = f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"
    return text.replace("-", "−")


def bins(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], most: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Means of x and y in `most` bins of equal width of x; fewer points stay as they are."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= most:
        return x, y
    which = np.minimum(((x - x[0]) / (x[-1] - x[0]) * most).astype(int), most - 1)
    count = np.bincount(which, minlength=most)
    full = count > 0
    x, y = (np.bincount(which, weights=v, minlength=most)[full] / count[full] for v in (x, y))
    return x, y


def confusion(matrix: Integer[np.ndarray, "c c"], classes: Sequence[str]) -> Markup:
    """Heat map of true class (rows) against the class said (columns), in percent of the row; up to 25 classes."""
    share = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    n = len(classes)

    def draw(width: int) -> Any:
        from matplotlib.patches import Rectangle

        labels = [shorten(name, 16 if width == WIDE else 9) for name in classes]
        left = 12 + 6.6 * max(map(len, labels))
        cell = min((width - left - 2) / n, 44)
        up = left if max(map(len, labels)) * 6.6 > cell else 24
        figure = canvas(width, up + 22 + n * cell + 4)
        ax = axes(figure, left, up + 22, width - left - n * cell, 4)
        size = min(11.5, cell * 0.42)
        for i in range(n):
            for j in range(n):
                if matrix[i, j]:
                    colour = COLOUR["lapis"] if i == j else COLOUR["clay"]
                    strength = min(0.06 + 0.0094 * share[i, j] * (1 if i == j else 2.5), 1.0)
                    ax.add_patch(
                        Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, facecolor=colour, alpha=strength, linewidth=0)
                    )
                    if size >= 6.5 and share[i, j] >= 0.5:
                        ink = COLOUR["paper"] if strength > 0.55 else COLOUR["ink"]
                        ax.text(j, i, f"{share[i, j]:.0f}", ha="center", va="center_baseline", fontsize=size, color=ink)
        ax.set_xlim(-0.5, n - 0.5)
        ax.set_ylim(n - 0.5, -0.5)
        ax.xaxis.tick_top()
        turned = up == left
        ax.set_xticks(
            range(n), labels, rotation=90 if turned else 0, color=COLOUR["ink"], fontsize=min(11.5, cell * 0.7)
        )
        ax.set_yticks(range(n), labels, color=COLOUR["ink"], fontsize=min(11.5, cell * 0.7))
        note(ax, -left, n * cell + up + 10, "true ↓   said →", color=COLOUR["muted"], fontsize=11)
        ax.grid(visible=False)
        for spine in ax.spines.values():
            spine.set_visible(False)
        return figure

    return both(draw)


def confused_pairs(
    matrix: Integer[np.ndarray, "c c"], classes: Sequence[str], *, most: int = 20
) -> list[tuple[str, str, int, str]]:
    """The commonest errors as rows of a table: true class, class said, how often, share of the true class.

    >>> confused_pairs(np.array([[8, 2], [0, 5]]), ["a", "b"])[0][:3]
    ('a', 'b', 2)
    """
    wrong = matrix * (1 - np.eye(len(classes), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True) if wrong[i, j]]
    return [
        (str(classes[i]), str(classes[j]), int(matrix[i, j]), amount(100 * matrix[i, j] / matrix[i].sum(), unit="%"))
        for i, j in pairs
    ]


def reliability(before: Float[np.ndarray, "3 bins"], after: Float[np.ndarray, "3 bins"]) -> Markup:
    """How often the network is right (rows: confidence, accuracy, count) when it says so sure, before and after scaling."""

    def draw(width: int) -> Any:
        figure = canvas(width, width)
        ax = axes(figure, 40, 36, 10, 48)
        ax.plot([0, 100], [0, 100], color=COLOUR["muted"], linewidth=1, linestyle=(0, (4, 3)))
        for k, (name, (confidence, accuracy, count)) in enumerate({"before": before, "after scaling": after}.items()):
            colour = COLOUR["ochre" if k == 0 else "lapis"]
            full = count > 0
            ax.plot(100 * confidence[full], 100 * accuracy[full], color=colour, linewidth=1.2, alpha=0.7)
            ax.scatter(
                100 * confidence[full], 100 * accuracy[full], s=18 + 170 * count[full] / max(count.max(), 1), color=colour,
                marker="s" if k == 0 else "o", alpha=0.85, linewidth=0, label=name, zorder=3, clip_on=False,
            )  # fmt: skip
        ax.set_xlim(0, 100)
        ax.set_ylim(0, 100)
        ax.set_xlabel("how sure it said it was, %", loc="left")
        note(ax, -40, width - 84 + 14, "how often it was right, %", color=COLOUR["muted"])
        ax.legend(loc="lower right", borderaxespad=0.8, handletextpad=0.5)
        for handle in ax.get_legend().legend_handles:
            handle.set_sizes([48])
        ax.spines["left"].set_visible(False)
        return figure

    return responsive(draw, {"half": HALF})


def abstention(coverage: Float[np.ndarray, " m"], accuracy: Float[np.ndarray, " m"]) -> Markup:
    """How often it is right among the share of pictures that it dares to answer, the surest first."""
    keep = np.unique(np.linspace(0, len(coverage) - 1, min(len(coverage), 200)).astype(int))
    order = np.argsort(coverage, kind="stable")[keep]

    def draw(width: int) -> Any:
        figure = canvas(width, width)
        ax = axes(figure, 40, 36, 10, 48)
        ax.plot(100 * coverage[order], 100 * accuracy[order], color=COLOUR["clay"], linewidth=2)
        last = 100 * accuracy[order[-1]]
        ax.plot([100 * coverage[order[-1]]], [last], "o", color=COLOUR["clay"], markersize=7, clip_on=False)
        ax.annotate(f"all answered: {amount(last)}", (100 * coverage[order[-1]], last), xytext=(-4, -12),
                    textcoords="offset points", ha="right", va="top", color=COLOUR["clay"])  # fmt: skip
        bottom = min(100 * accuracy[order].min(), last)
        ax.set_ylim(max(0, bottom - 0.3 * max(100 - bottom, 5)), 100.5)
        ax.set_xlim(0, 100)
        ax.set_xlabel("answered, % of the pictures", loc="left")
        note(ax, -40, width - 84 + 14, "right among the answered, %", color=COLOUR["muted"])
        ax.spines["left"].set_visible(False)
        return figure

    return responsive(draw, {"half": HALF})
