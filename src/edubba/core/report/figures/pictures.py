"""Drawings made of pictures: a map of them, and each with its neighbours."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float32, Int, Integer, UInt8
from markupsafe import Markup

from edubba.core.report.figures.charts import shorten
from edubba.core.report.page import Number, Sheet, blocks, data_uri, reduce, sheet

CLASSES = ("clay", "lapis", "ochre", "teal", "plum", "rose", "sky", "olive", "umber", "slate")
MOST_MAPPED = 600
CELL = 26
LARGEST_PNG = 700_000


def grid(xy: Float[np.ndarray, "m 2"], *, columns: int, rows: int) -> Int[np.ndarray, "m 2"]:
    """A cell (column, row) of its own for each point: together the points move as little as can be (squared distance).

    The map is stretched over the grid (axes of such maps mean nothing); up is up.
    """
    from scipy.optimize import linear_sum_assignment

    low, high = np.quantile(xy, [0.01, 0.99], axis=0)  # one far point must not press all others together
    size = np.array([columns, rows])
    wanted = (np.clip(xy, low, high) - low) / np.maximum(high - low, 1e-12) * (size - 1)
    wanted[:, 1] = rows - 1 - wanted[:, 1]
    cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    cost = ((wanted[:, None] - cells) ** 2).sum(-1)
    return cells[linear_sum_assignment(cost)[1]]


def embedding_map(
    xy: Float32[np.ndarray, "m 2"], thumbnails: UInt8[np.ndarray, "m h w c"], labels: Sequence[str]
) -> Markup:
    """A map one can read: pictures at their places on a loose grid, none covering another, classes named.

    Parameters
    ----------
    xy
        Places of the pictures, such as t-SNE gives; of more than 600 pictures 600 are shown.
    thumbnails
        1, 3 or 4 channels.
    labels
        Classes, '' where unknown. Up to ten classes are framed in colours; up to 24 are named, the largest first.
    """
    pick = np.unique(np.linspace(0, len(xy) - 1, min(len(xy), MOST_MAPPED)).astype(int))
    xy, labels = np.asarray(xy, dtype=float)[pick], [str(labels[i]) for i in pick]
    columns = max(int(np.ceil(np.sqrt(1.75 * len(xy) * 4 / 3))), 2)
    rows = max(int(np.ceil(1.75 * len(xy) / columns)), 2)
    cells = grid(xy, columns=columns, rows=rows)
    cells = cells - cells.min(0)
    columns, rows = (cells.max(0) + 1).tolist()

    tiles = reduce(thumbnails[pick], 40)
    _, h, w, c = tiles.shape
    side = max(h, w)
    picture = np.zeros((rows, side, columns, side, 4), np.uint8)
    top, left = (side - h) // 2, (side - w) // 2
    for (column, row), tile in zip(cells, tiles, strict=True):
        picture[row, top : top + h, column, left : left + w, :3] = tile[..., :3]  # one channel is repeated thrice
        picture[row, top : top + h, column, left : left + w, 3] = tile[..., 3] if c == 4 else 255
    uri = data_uri(inset(picture).reshape(rows * picture_side(side), columns * picture_side(side), 4))

    names = sorted({label for label in labels if label}, key=lambda name: (-labels.count(name), name))
    framed = names if len(names) <= len(CLASSES) else []
    paths = []
    for k, name in enumerate(sorted(framed)):
        mine = cells[[label == name for label in labels]]
        path = "".join(f"M{x * CELL + 1} {y * CELL + 1}h{CELL - 2}v{CELL - 2}h{2 - CELL}z" for x, y in mine)
        paths.append(Markup('<path d="{}" fill="var(--{})"/>').format(path, CLASSES[k]))
    texts = [
        Markup('<text x="{}" y="{}" font-size="17" stroke-width="7" text-anchor="middle">{}</text>').format(x, y, name)
        for name, x, y in placed(names[:24], cells, labels, columns * CELL, rows * CELL)
    ]
    return Markup(
        '<svg class="map" viewBox="0 0 {w} {h}">{}<image href="{}" width="{w}" height="{h}"/>{}</svg>'
    ).format(Markup("").join(paths), uri, Markup("").join(texts), w=columns * CELL, h=rows * CELL)


def picture_side(side: int) -> int:
    """Side of a cell of the map's picture: the thumbnail and its margin of 3/26."""
    return round(side * CELL / (CELL - 6))


def inset(picture: UInt8[np.ndarray, "rows h columns w 4"]) -> UInt8[np.ndarray, "rows h2 columns w2 4"]:
    """Each thumbnail with the see-through margin in which its frame shows."""
    side = picture.shape[1]
    margin = picture_side(side) - side
    before = margin // 2
    return np.pad(picture, ((0, 0), (before, margin - before), (0, 0), (before, margin - before), (0, 0)))


def placed(
    names: Sequence[str], cells: Int[np.ndarray, "m 2"], labels: Sequence[str], width: Number, height: Number
) -> list[tuple[str, float, float]]:
    """Where the classes' names stand: at the medoid of each class, moved up or down where two would overlap."""
    boxes: list[tuple[float, float, float]] = []
    out: list[tuple[str, float, float]] = []
    for name in names:
        mine = cells[[label == name for label in labels]]
        medoid = mine[np.linalg.norm(mine[:, None] - mine, axis=-1).sum(1).argmin()]
        text = shorten(name, 24)
        half = 5.0 * len(text) + 2
        x = min(max((medoid[0] + 0.5) * CELL, half), max(width - half, half))
        middle = (medoid[1] + 0.5) * CELL + 6
        steps = sorted(range(-40, 41), key=abs)
        free = [
            middle + 11 * k for k in steps
            if 18 <= middle + 11 * k <= height - 4
            and all(abs(x - bx) > half + bh or abs(middle + 11 * k - by) > 20 for bx, by, bh in boxes)
        ]  # fmt: skip
        y = free[0] if free else middle
        boxes.append((float(x), float(y), half))
        out.append((text, round(float(x), 1), round(float(y), 1)))
    return out


def neighbours(
    thumbnails: UInt8[np.ndarray, "m h w c"],
    rows: Integer[np.ndarray, "q k1"],
    *,
    similarity: Float[np.ndarray, "q k"],
    labels: Sequence[str],
    caption: str,
) -> Markup:
    """For each row a picture and the pictures nearest to it, with similarity, and right or wrong where labels are known.

    Parameters
    ----------
    rows
        Row numbers of `thumbnails`; column 0 is the picture asked about, the others are its neighbours, nearest first.
    similarity
        Cosine of each neighbour with the picture asked about.
    labels
        One for each thumbnail, '' where unknown.
    """
    used, place = np.unique(rows, return_inverse=True)
    place = place.reshape(rows.shape)
    queries = []
    for q, row in enumerate(rows):
        label = str(labels[row[0]])
        found = []
        for j, other in enumerate(row[1:]):
            theirs = str(labels[other])
            right = theirs == label if label and theirs else None
            said = f"similarity {similarity[q, j]:.2f}" + (f", {theirs}" if theirs else "")
            found.append({
                "index": int(place[q, j + 1]), "alt": f"neighbour {j + 1}: {said}", "label": theirs, "right": right,
                "similarity": f"{similarity[q, j]:.2f}".replace("-", "−"),
            })  # fmt: skip
        alt = f"picture asked about: {label}" if label else "picture asked about"
        queries.append(({"index": int(place[q, 0]), "label": label, "alt": alt}, found))
    return blocks().neighbours(sheet(thumbnails[used]), queries, caption)


def versions(
    shown: Mapping[str, UInt8[np.ndarray, "n h w c"]], *, titles: Sequence[str], notes: Sequence[str], caption: str
) -> Markup:
    """The same pictures in several versions, each picture's beside each other, all in one image, without loss where that is small.

    Parameters
    ----------
    shown
        For each version's name its pictures, 1, 3 or 4 channels.
    titles, notes
        One line each below a picture's versions; notes are set fainter.
    """
    tiles = reduce(np.concatenate(list(shown.values())), 96)
    n, (_, h, w, c) = len(titles), tiles.shape
    together = Sheet(data_uri(tiles.reshape(-1, w, c), limit=3 * LARGEST_PNG), 1, len(tiles), max(h, w))
    groups = []
    for i in range(n):
        own = [
            Markup(
                '<li><span class="tile" role="img" aria-label="{}, {}" style="{}"></span><span class="note">{}</span></li>'
            ).format(titles[i], name, together.style(k * n + i), name)
            for k, name in enumerate(shown)
        ]
        groups.append(
            Markup(
                '<div><ul style="grid-template-columns:repeat({},1fr);gap:0.4rem">{}</ul><span class="title">{}</span>'
                '<span class="note">{}</span></div>'
            ).format(len(shown), Markup("").join(own), titles[i], notes[i])
        )
    return Markup(
        '<figure class="pictures" {}><div style="display:grid;gap:1.5rem 2rem;'
        'grid-template-columns:repeat(auto-fill,minmax(min(17rem,100%),1fr))">{}</div><figcaption>{}</figcaption></figure>'
    ).format(blocks().tiles(together), Markup("").join(groups), caption)
