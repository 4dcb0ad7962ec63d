import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba.core import report
from edubba.core.report import Finding, Section, figures
from edubba.core.report.figures import charts, pictures
from edubba.core.report.page import PALETTE, data_uri, positions

NASTY = "<script>alert('1')</script>"


def linear_light(colour):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """WCAG 2.2's contrast ratio."""
    dark, light = sorted(linear_light(colour) @ [0.2126, 0.7152, 0.0722] for colour in (a, b))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_contrast_aa_and_marks_have_three_to_one(theme):
    for ground in ("paper", "panel"):
        for text in ("ink", "muted", "clay", "lapis"):
            assert contrast(PALETTE[text][theme], PALETTE[ground][theme]) >= 4.5, (text, ground)
    for mark in (*figures.SERIES, *figures.CLASSES):
        assert contrast(PALETTE[mark][theme], PALETTE["paper"][theme]) >= 3, mark


SIMULATED = {  # Machado, Oliveira, Fernandes 2009, severity 1
    "normal": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
OKLAB_CONES = [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
OKLAB = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", SIMULATED)
def test_series_stay_apart_for_colour_blind_eyes(theme, eyes):
    seen = [
        np.array(OKLAB) @ np.cbrt(OKLAB_CONES @ np.clip(SIMULATED[eyes] @ linear_light(PALETTE[name][theme]), 0, 1))
        for name in figures.SERIES
    ]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]) > 0.11  # 0.02 is just noticeable


def whole_page(label=NASTY):
    thumbnails = np.full((4, 5, 5, 1), 90, np.uint8)
    blocks = [
        report.prose(f"text {label}"),
        report.code(label),
        report.warning(label),
        report.facts({label: label}),
        report.table([label, "n"], [[label, 3]], label),
        report.headline([Finding(label, 50.0, 40.0, 60.0, note=label, unit=label)]),
        report.figure(figures.dots({label: [(1.0, 0.5, 2.0)]}, xlabel=label, series=[label]), caption=label, alt=label),
        report.pictures(thumbnails, caption=label, alts=[label] * 4, titles=[label] * 4, notes=[label] * 4),
        figures.neighbours(
            thumbnails,
            np.array([[0, 1], [2, 3]]),
            similarity=np.full((2, 1), 0.5),
            labels=[label, "", "b", label],
            caption=label,
        ),
        report.figure(
            figures.embedding_map(np.eye(4, 2, dtype=np.float32), thumbnails, [label] * 4), caption=label, alt=label
        ),
        figures.versions({label: thumbnails, "b": thumbnails}, titles=[label] * 4, notes=[label] * 4, caption=label),
        report.figure(
            figures.histogram(np.arange(9.0), name=label, xlabel=label, marks={label: (1.0, 0.0, 2.0)}),
            caption=label,
            alt=label,
        ),
        report.details(label, report.prose(label)),
    ]
    return report.page(label, lead=label, sections=[Section(label, blocks, label)] * 3, footer=label)


class Tags(HTMLParser):
    """Names of the elements and of their attributes, as a browser would read them."""

    def __init__(self, html):
        super().__init__()
        self.names, self.attributes = set(), set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_what_users_wrote_is_never_markup():
    plain = Tags(whole_page("plain"))
    for label in (
        NASTY,
        "</text></svg><script>1</script>",
        '" onload="alert(1)',
        "' onload='alert(1)",
        "{{ 1 }}</title>",
    ):
        tags = Tags(whole_page(label))
        assert tags.names == plain.names
        assert tags.attributes == plain.attributes
    assert whole_page(NASTY).count("&lt;script&gt;") > 50


def test_a_page_needs_nothing_from_outside():
    html = whole_page("plain")
    assert "default-src 'none'" in html
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", html)
    assert not re.findall(r"url\((?!#|data:)", html)
    assert "@import" not in html


class Ids:
    """What an HTML checker would say about ids and references."""

    def __init__(self, html):
        self.all = re.findall(r'\sid="([^"]+)"', html)
        self.used = re.findall(r'(?:url\(|href=")#([^")]+)', html) + re.findall(r'aria-labelledby="([^"]+)"', html)


def test_ids_are_unique_and_every_reference_has_its_target():
    one = figures.dots({"a": [(1.0, 0.5, 2.0)]}, xlabel="x", series=["s"])
    two = figures.dots({"a": [(1.5, 0.5, 2.0)]}, xlabel="x", series=["s"])
    html = report.page("t", lead="l", sections=[Section("a", [one]), Section("b", [two]), Section("c", [])], footer="f")
    ids = Ids(html)
    assert len(ids.all) == len(set(ids.all))
    assert set(ids.used) <= set(ids.all)


def test_the_same_drawing_has_the_same_bytes_and_no_date():
    draw = lambda: figures.dots({"a": [(1.0, 0.5, 2.0)]}, xlabel="x", series=["s"])  # noqa: E731
    assert draw() == draw()
    assert not re.search(r"<metadata|\d{4}-\d\d-\d\d", draw())


def texts(svg):
    return ["".join(e.itertext()) for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("text")]


def halves(drawing):
    """The drawing for screens and the one for phones."""
    wide, narrow = re.findall(r"<svg.*?</svg>", drawing)
    return wide, narrow


def test_labels_are_drawn_as_typed_even_dollars_digits_and_cuneiform():
    labels = ["$x^2$", "0.12345", "#000001", "𒀭 an", "font-family: a"]
    wide, narrow = halves(figures.dots({name: [(1.0, 0.5, 2.0)] for name in labels}, xlabel="x", series=["s"]))
    assert set(labels) <= set(texts(wide))
    assert set(labels) <= set(texts(narrow))


def test_drawings_use_only_the_page_s_colours():
    drawings = [
        figures.dots(
            {"a": [(1.0, 0.5, 2.0), None], "b": [(3.0, None, None), (1.0, 0.0, 2.0)]}, xlabel="x", series=["s", "t"]
        ),
        figures.lines(
            {"m": [(1, 2.0, 1.0, 3.0), (10, 3.0, None, None)]}, xlabel="x", ylabel="y", ticks={1: "1", 10: "all"}
        ),
        figures.curves({"loss": (range(500), range(500)), "kNN": ([1, 2], [3.0, 4.0])}, xlabel="epochs"),
        figures.confusion(np.array([[5, 1], [0, 3]]), ["a", "b"]),
        figures.histogram(
            np.arange(9.0),
            name="n",
            xlabel="x",
            law=("l", np.ones_like),
            points=("p", [1.0]),
            marks={"m": (3.0, 2.0, 4.0)},
            threshold=("t", 5.0),
        ),
        figures.steps(np.array([0.0, -1.0, -2.5]), xlabel="x", ylabel="y", levels={"one": -1.0, "two": -2.0}),
        figures.reliability(np.array([[0.2, 0.8], [0.1, 0.9], [3, 9]]), np.array([[0.2, 0.8], [0.2, 0.8], [3.0, 9]])),
        figures.abstention(np.linspace(0.1, 1, 20), np.linspace(1, 0.8, 20)),
    ]
    for drawing in drawings:
        for one in re.findall(r"<svg.*?</svg>", drawing):
            assert "style" not in {e.tag for e in ElementTree.fromstring(one).iter()}
            assert not re.findall(r"#[0-9a-f]{6}\b", one)
            assert set(re.findall(r"var\(--(\w+)\)", one)) <= set(PALETTE)


def test_drawing_leaves_matplotlib_s_settings_as_they_were():
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.dots({"a": [(1.0, 0.5, 2.0)]}, xlabel="x", series=["s"])
    assert dict(matplotlib.rcParams) == before


def test_a_matplotlib_figure_can_be_shown_as_it_is():
    from matplotlib.figure import Figure

    own = Figure()
    own.add_subplot().plot([1, 2], [3, 4], color=figures.COLOUR["clay"])
    html = report.figure(figures.svg(own), caption="c", alt="a line")
    assert 'aria-label="a line"' in html
    assert "var(--clay)" in html


def test_dots_are_sorted_by_the_first_series():
    rows = {"low": [(1.0, None, None)], "high": [(9.0, None, None)], "middle": [(5.0, None, None)]}
    wide, _ = halves(figures.dots(rows, xlabel="x", series=["s"]))
    assert [t for t in texts(wide) if t in rows] == ["high", "middle", "low"]


def test_137_rows_are_drawn_as_best_and_worst_twenty_with_a_note():
    rows = {f"sign {i}": [(float(i), i - 1.0, i + 1.0)] for i in range(137)}
    wide, _ = halves(figures.dots(rows, xlabel="x", series=["s"]))
    shown = [t for t in texts(wide) if t.startswith("sign")]
    assert shown == [f"sign {i}" for i in [*range(136, 116, -1), *range(19, -1, -1)]]
    assert "97 more between" in texts(wide)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.floats(0.1, 10))
@settings(deadline=None)
def test_spread_keeps_order_and_distance_where_there_is_room(y, gap):
    moved = charts.spread(y, gap, 0.0, 100.0)
    order = np.argsort(y, kind="stable")
    assert (np.diff(moved[order]) >= gap - 1e-9).all()
    assert moved.min() >= -1e-9
    assert moved.max() <= 100 + 1e-9


def test_what_is_far_enough_apart_is_not_moved():
    np.testing.assert_allclose(charts.spread([70.0, 20.0, 45.0], 25.0, 0.0, 100.0), [70, 20, 45])


@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_no_two_pictures_of_a_map_share_a_cell(m, seed):
    xy = np.random.default_rng(seed).normal(size=(m, 2)) ** 3
    cells = pictures.grid(xy, columns=9, rows=7)
    assert len({tuple(cell) for cell in cells}) == m
    assert cells.min() >= 0
    assert (cells < [9, 7]).all()


def test_pictures_that_lie_on_the_grid_stay_there_with_up_upwards():
    x, y = np.meshgrid(np.arange(10.0), np.arange(8.0))
    xy = np.stack([x.ravel(), y.ravel()], 1)
    cells = pictures.grid(xy, columns=10, rows=8)
    np.testing.assert_array_equal(cells[:, 0], xy[:, 0])
    np.testing.assert_array_equal(cells[:, 1], 7 - xy[:, 1])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_map_s_picture_holds_each_thumbnail_at_its_cell(channels):
    import base64
    import io

    from PIL import Image

    shades = np.array([10, 120, 250], np.uint8)
    thumbnails = np.repeat(shades, 20 * 20 * channels).reshape(3, 20, 20, channels)
    thumbnails[..., 3:] = 255
    xy = np.array([[0, 0], [5, 9], [9, 0]], np.float32)
    drawing = figures.embedding_map(xy, thumbnails, ["a", "b", ""])
    columns, rows = (int(s) // pictures.CELL for s in re.findall(r'viewBox="0 0 (\d+) (\d+)"', drawing)[0])
    image = Image.open(io.BytesIO(base64.b64decode(re.findall(r"base64,([^\"]+)", drawing)[0])))
    side = image.width // columns
    centres = np.asarray(image)[side // 2 :: side, side // 2 :: side]
    assert centres.shape[:2] == (rows, columns)
    assert sorted(centres[..., 0][centres[..., 3] == 255].tolist()) == [10, 120, 250]
    middle, left, right = (np.argwhere(centres[..., 0] == shade)[0] for shade in (120, 10, 250))
    assert middle[0] < left[0]
    assert left[1] < middle[1] < right[1]


def test_each_version_of_a_picture_is_shown_beside_the_others_without_loss():
    import base64
    import io

    from PIL import Image

    shown = {name: np.random.default_rng(i).integers(0, 256, (8, 96, 96, 3), np.uint8) for i, name in enumerate("abc")}
    html = figures.versions(shown, titles=[f"picture {i}" for i in range(8)], notes=[""] * 8, caption="c")
    together = Image.open(io.BytesIO(base64.b64decode(re.findall(r"base64,([^)\"]+)", html)[0])))
    assert re.findall(r'aria-label="([^"]+)"', html)[:4] == [
        "picture 0, a",
        "picture 0, b",
        "picture 0, c",
        "picture 1, a",
    ]
    places = [float(y) for y in re.findall(r"background-position:0% ([\d.]+)%", html)]
    for i, name in ((0, "a"), (0, "b"), (7, "c")):
        top = round(places[3 * i + "abc".index(name)] / 100 * (together.height - 96))
        np.testing.assert_array_equal(np.asarray(together)[top : top + 96], shown[name][i])


def heights(drawing, edges):
    """Heights of the bars of a histogram's drawing for screens, in the unit of its highest bar."""
    wide, _ = halves(drawing)
    path = next(d for d in re.findall(r'<path d="([^"]+)"', wide) if d.count("L") >= 2 * edges)
    y = [float(point.split()[1]) for point in re.findall(r"[ML] ([-\d.]+ [-\d.]+)", path)]
    return (y[0] - np.array(y[1 : 2 * edges : 2])) / (max(y) - min(y))


def test_bars_are_as_high_as_their_counts():
    values = np.repeat(np.arange(8.0), [1, 2, 3, 4, 8, 4, 2, 1])
    drawn = heights(figures.histogram(values, name="n", xlabel="x"), 8)
    np.testing.assert_allclose(drawn, np.array([1, 2, 3, 4, 8, 4, 2, 1]) / 8, atol=0.01)


@pytest.mark.parametrize(("mine", "theirs"), [(0.5, 1.0), (1.0, 0.5), (7.0, 7.5), (7.5, 7.0), (1.0, 7.0)])
def test_no_line_of_a_histogram_runs_through_the_name_of_another(mine, theirs):
    drawing = figures.histogram(
        np.arange(9.0), name="n", xlabel="x", marks={"mine": (mine, None, None)}, threshold=("theirs", theirs)
    )
    for one in halves(drawing):
        lines = [[float(v) for v in m] for m in re.findall(r'<path d="M ([\d.]+) [\d.]+ L \1 ([\d.]+) "', one)]
        names = re.findall(r'text-anchor: (start|end)[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>(mine|theirs)</text>', one)
        assert len(lines) == len(names) == 2
        for anchor, x, y, name in names:
            start = float(x) - (6 * len(name) if anchor == "end" else 0)
            assert not [at for at, top in lines if start <= at <= start + 6 * len(name) and top < float(y) - 12]


def test_names_on_the_map_do_not_cover_each_other():
    cells = np.stack(np.meshgrid(np.arange(20), np.arange(20)), -1).reshape(-1, 2)
    labels = [f"a long name {i % 12}" for i in range(400)]
    names = sorted(set(labels))
    placed = pictures.placed(names, cells, labels, 520, 520)
    boxes = [(x - 5 * len(name), y, x + 5 * len(name)) for name, x, y in placed]
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] < b[0] or b[2] < a[0] or abs(a[1] - b[1]) > 16


def test_neighbours_are_marked_right_or_wrong_only_where_both_labels_are_known():
    thumbnails = np.zeros((4, 3, 3, 3), np.uint8)
    rows = np.array([[0, 1, 2, 3]])
    similarity = np.array([[0.91, 0.5, -0.25]])
    html = figures.neighbours(thumbnails, rows, similarity=similarity, labels=["ox", "ox", "sun", ""], caption="c")
    assert [bool(m) for m in re.findall(r'<li( class="(?:right|wrong)")?>', html)] == [True, True, False]
    assert html.index('class="right"') < html.index("0.91") < html.index('class="wrong"') < html.index("0.50")
    assert "−0.25" in html
    assert 'aria-label="neighbour 2: similarity 0.50, sun"' in html


def test_confused_pairs_are_the_largest_errors_counted_by_hand():
    matrix = np.array([[7, 3, 0], [1, 9, 0], [0, 4, 6]])
    assert [pair[:3] for pair in figures.confused_pairs(matrix, ["a", "b", "c"])] == [
        ("c", "b", 4),
        ("a", "b", 3),
        ("b", "a", 1),
    ]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50), st.integers(3, 400))
def test_bins_keep_the_mean(values, n):
    x = np.linspace(0, 1, n)
    y = np.resize(np.array(values), n)
    bx, by = charts.bins(x, y, most=50)
    assert len(bx) <= max(50, min(n, 50))
    if n <= 50:
        np.testing.assert_array_equal(by, y)
    assert y.min() - 1e-9 <= by.min() <= by.max() <= y.max() + 1e-9


def test_positions_on_the_scale_are_cut_at_its_ends():
    assert positions(Finding("a", 15.0, 5.0, 40.0, scale=(10, 30), chance=20.0)) == (25.0, 0.0, 100.0, 50.0)
    assert positions(Finding("a", 15.0, None, None, scale=(10, 30))) == (25.0, 25.0, 25.0, None)


def test_columns_of_numbers_are_set_flush_right():
    html = report.table(["class", "share", "word"], [["a", "12 % [3, 4]", "x"], ["b", None, "−"]], "c")
    assert html.count('class="num"') == 3
    assert '<td class="num"></td>' in html


@pytest.mark.parametrize("shape", [(300, 120, 160, 3), (2, 7, 9, 1)])
def test_a_sheet_of_pictures_stays_under_its_limit_even_for_noise(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    html = report.pictures(noise, caption="c", alts=[""] * len(noise))
    assert len(html) < 4 / 3 * 600_000 + 120 * shape[0] + 2_000


def test_small_pictures_are_embedded_without_loss():
    import base64
    import io

    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    decoded = Image.open(io.BytesIO(base64.b64decode(data_uri(picture).split(",")[1])))
    np.testing.assert_array_equal(np.asarray(decoded), picture)


def test_write_replaces_the_page_as_a_whole(tmp_path):
    path = report.write(tmp_path / "report.html", "old")
    assert report.write(str(path), "neu: 𒂍") == path
    assert path.read_text(encoding="utf-8") == "neu: 𒂍"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_figures_and_page_load_no_matplotlib_until_something_is_drawn():
    import subprocess
    import sys

    code = "import sys, edubba.core.report; print([m for m in ('matplotlib', 'scipy', 'PIL', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
