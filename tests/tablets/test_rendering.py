"""Rendered tablets: what the photograph shows is what the record says."""

import hashlib
import io
import json
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from edubba.core.errors import UserError
from edubba.tablets import clay, records, rendering, rendering_texts
from edubba.tablets.formats import atf, coco
from edubba.tablets.rendering_wedges import CAP, HANDS, Place, characters, pressed, shape

LINES = [["5(DIŠ)", "LU", "GAL"], ["KI", "UR", "AN", "UD", "TA"], ["ŠU", "BA", "TI"], ["MU", "EN", "|ŠEŠ.KI|", "BA"]]
HEIGHT = 24.0
MARGIN = 0.05


def rendered(seed=0, lines=LINES, **settings):
    return rendering.render(lines, seed=seed, sign_height=HEIGHT, margin=MARGIN, **settings)


@pytest.fixture(scope="module")
def battered():
    """Tablets with everything that can happen to them."""
    return [rendered(seed, damage=0.35, wear=0.4) for seed in range(5)]


@pytest.fixture(scope="module")
def whole():
    return [rendered(seed, damage=0.0, wear=0.0) for seed in range(5)]


# ---- one tablet


def test_the_same_seed_gives_the_same_tablet_whatever_was_rendered_before(battered):
    again = rendered(3, damage=0.35, wear=0.4)
    assert again.jpeg == battered[3].jpeg
    assert again.tablet == battered[3].tablet
    assert (again.ink == battered[3].ink).all()
    assert len({one.jpeg for one in battered}) == len(battered)


def test_the_photograph_is_what_its_file_holds_and_its_record_says(battered):
    for one in battered:
        assert (np.asarray(Image.open(io.BytesIO(one.jpeg))) == one.photograph).all()
        photograph = one.tablet.photograph
        assert photograph.sha256 == hashlib.sha256(one.jpeg).hexdigest()
        assert one.photograph.shape == (photograph.height, photograph.width, 3)
        assert one.ink.shape == one.photograph.shape[:2]


def test_names_lines_and_surface_are_those_that_were_asked_for(battered):
    signs = [line.signs for line in battered[0].tablet.surfaces[0].lines]
    assert [[sign.name for sign in line] for line in signs] == LINES
    [surface] = rendered(id="T1", surface="reverse").tablet.surfaces
    assert surface.kind == "reverse"
    assert [line.label for line in surface.lines] == ["1", "2", "3", "4"]


def test_fields_of_a_sign_that_is_no_name_are_kept():
    given = records.Sign(name="KI", reading="ki", word=3, marks=("collated",))
    [made] = rendered(lines=[[given]], damage=0.0, wear=0.0).tablet.signs
    assert (made.reading, made.word, made.marks, made.damage) == ("ki", 3, ("collated",), "intact")


def test_a_flat_sign_may_have_a_box_as_high_as_people_draw_it():
    (tight,) = rendering.render([["AŠ"]], seed=1, sign_height=HEIGHT, damage=0.0, wear=0.0).tablet.signs
    (drawn,) = rendering.render([["AŠ"]], seed=1, sign_height=HEIGHT, damage=0.0, wear=0.0, least=0.7).tablet.signs
    assert tight.box.y1 - tight.box.y0 < 0.6 * HEIGHT
    assert drawn.box.y1 - drawn.box.y0 == pytest.approx(0.7 * HEIGHT)
    assert drawn.box.y0 + drawn.box.y1 == pytest.approx(tight.box.y0 + tight.box.y1)


def test_a_box_lies_tight_around_the_wedges_that_can_be_seen(battered):
    boxed = 0
    for one in battered:
        h, w = one.ink.shape
        for i, sign in enumerate(one.tablet.signs, 1):
            if sign.box is None:
                continue
            boxed += 1
            rows, columns = np.nonzero(one.ink == i)
            margin = MARGIN * HEIGHT
            wanted = (columns.min() - margin, rows.min() - margin, columns.max() + 1 + margin, rows.max() + 1 + margin)
            assert sign.box == pytest.approx(np.clip(wanted, 0, [w, h, w, h]), abs=1e-9)
    assert boxed > 45


def test_wedges_can_be_seen_where_the_ink_is(whole):
    for one in whole:
        grey = one.photograph.mean(2)
        edges = np.hypot(*np.gradient(grey))
        near = ndimage.binary_dilation(one.ink > 0, iterations=2)
        box = one.tablet.surfaces[0].box
        face = np.zeros(near.shape, bool)
        face[int(box.y0) + 20 : int(box.y1) - 20, int(box.x0) + 20 : int(box.x1) - 20] = True
        assert edges[near & face].mean() > 1.5 * edges[~near & face].mean()


def test_pieces_that_are_gone_make_the_face_smaller(battered, whole):
    sides = [[one.tablet.surfaces[0].box for one in some] for some in (battered, whole)]
    less = [(b.x1 - b.x0) * (b.y1 - b.y0) / ((w.x1 - w.x0) * (w.y1 - w.y0)) for b, w in zip(*sides, strict=True)]
    assert max(less) <= 1
    assert min(less) < 0.9


def test_what_is_called_damaged_agrees_with_the_ink_that_is_left(battered):
    states = Counter()
    for one in battered:
        fresh = rendered(one.tablet.steps[0].settings["seed"], damage=0.0, wear=0.0)
        before, after = (np.bincount(x.ink.ravel(), minlength=len(x.left) + 1)[1:] for x in (fresh, one))
        for sign, share, left in zip(one.tablet.signs, after / before, one.left, strict=True):
            states[sign.damage] += 1
            assert (
                share >= left - 0.15
            )  # what is called lost may leave a trace; rims too shallow to be seen count as left
            assert sign.damage == ("intact" if left >= 0.75 else "damaged" if left >= 0.12 else "broken")
            assert (sign.box is None) == (sign.damage == "broken")
            assert sign.restored == (sign.damage == "broken")
    assert min(states["intact"], states["damaged"], states["broken"]) >= 5


def test_breaks_alone_take_exactly_the_ink_that_they_take():
    for seed in range(3):
        fresh, broken = (rendered(seed, damage=damage, wear=0.0) for damage in (0.0, 0.3))
        before, after = (np.bincount(x.ink.ravel(), minlength=len(x.left) + 1)[1:] for x in (fresh, broken))
        assert broken.left == pytest.approx(after / before, abs=0.01)


def test_an_undamaged_tablet_holds_all_signs_whole(whole):
    for one in whole:
        assert (one.left == 1).all()
        assert all(sign.damage == "intact" for sign in one.tablet.signs)


def test_signs_follow_each_other_along_their_line_and_lines_below_each_other(whole):
    for one in whole:
        [surface] = one.tablet.surfaces
        middles = []
        for line in surface.lines:
            x = [point[0] for point in line.path]
            assert x == sorted(x)
            centres = [((s.box.x0 + s.box.x1) / 2, (s.box.y0 + s.box.y1) / 2) for s in line.signs]
            assert list(line.path[1:-1]) == centres
            middles.append(np.mean([y for _, y in centres]))
        assert (np.diff(middles) > 0.8 * HEIGHT).all()


def test_boxes_lie_on_the_face_and_the_face_in_the_photograph(battered):
    for one in battered:
        [surface] = one.tablet.surfaces
        h, w = one.ink.shape
        assert 0 <= surface.box.x0 < surface.box.x1 <= w
        assert 0 <= surface.box.y0 < surface.box.y1 <= h
        for sign in one.tablet.signs:
            if sign.box is not None:
                x, y = (sign.box.x0 + sign.box.x1) / 2, (sign.box.y0 + sign.box.y1) / 2
                assert surface.box.x0 < x < surface.box.x1
                assert surface.box.y0 < y < surface.box.y1


def test_a_line_without_ink_has_no_path_and_its_signs_no_boxes(battered):
    lines = [line for one in battered for line in one.tablet.surfaces[0].lines]
    for line in lines:
        assert len(line.path) == (n + 2 if (n := sum(sign.box is not None for sign in line.signs)) else 0)


def test_upright_wedges_have_the_height_asked_for():
    heights = [
        sign.box.y1 - sign.box.y0
        for seed in range(5)
        for sign in rendering.render([["DIŠ"] * 5] * 2, seed=seed, sign_height=40.0, damage=0.0, wear=0.0).tablet.signs
    ]
    assert np.median(heights) == pytest.approx(40, abs=5)


def test_another_place_of_the_lamp_changes_the_light_and_nothing_else(whole):
    left, right = (rendered(2, damage=0.0, wear=0.0, azimuth=azimuth) for azimuth in (180.0, 0.0))
    assert left.tablet.surfaces == right.tablet.surfaces
    assert (left.ink == right.ink).all()
    a, b = (one.photograph.mean(2) for one in (left, right))
    assert abs(a - b).mean() > 5
    # wedges and clay beside them: where one lamp makes a slope bright, the opposite one makes it dark
    near = np.abs(np.gradient(a, axis=1)) > 12
    assert np.corrcoef(np.gradient(a, axis=1)[near], np.gradient(b, axis=1)[near])[0, 1] < 0


@pytest.mark.parametrize("seed", range(8))
def test_even_a_ruin_of_one_sign_is_a_tablet(seed):
    one = rendered(seed, lines=[["AŠ"]], damage=1.0, wear=1.0)
    assert one.photograph.max() > 60
    assert len(one.tablet.signs) == 1


def test_unknown_and_undrawable_signs_are_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"no sign is called 'LUGALX'.*nearest are LUGAL"):
        rendering.render([["KI", "LUGALX"]], seed=0)
    for name in ("|A×AN|", "2(|AŠ×DIŠ@t|)"):  # Unicode has it not; the font has it not
        with pytest.raises(UserError, match=rf"the font has no outline of the sign '{re.escape(name)}'"):
            rendering.render([[name]], seed=0)


@pytest.mark.parametrize("lines", [[], [[]], [["KI"], []]])
def test_a_tablet_without_signs_is_refused(lines):
    with pytest.raises(UserError, match="at least one line, and a line at least one sign"):
        rendering.render(lines, seed=0)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(UserError, match=r"damage is 1\.5: it must be a share"):
        rendering.render([["KI"]], seed=0, damage=1.5)
    with pytest.raises(UserError, match=r"wear is nan: it must be a share"):
        rendering.render([["KI"]], seed=0, wear=float("nan"))
    with pytest.raises(UserError, match=r"sign_height is 4\.0: signs of less than 12 pixels"):
        rendering.render([["KI"]], seed=0, sign_height=4.0)


# ---- wedges


@pytest.mark.parametrize("hand", range(HANDS))
def test_wedges_are_grooves_with_a_steep_and_a_flat_wall(hand):
    upright, level = shape("DIŠ", hand).depth, shape("AŠ", hand).depth
    assert CAP < upright.shape[0] < 1.4 * CAP
    assert upright.shape[0] > 2 * upright.shape[1]
    assert level.shape[1] > 2 * level.shape[0]
    # the head of an upright wedge is at its top, and the deepest line lies on the left of its middle, below the steep wall
    assert upright[: CAP // 3].max() == upright.max()
    row = upright[CAP // 5]
    assert row.argmax() < len(row) / 2
    assert max(row[0], row[-1]) < 0.3 * row.max()


def test_a_sign_of_several_characters_is_one_sign():
    assert characters("|ŠEŠ.KI|") == "𒋀𒆠"
    assert characters("AN+AK") == "𒀭𒀝"


def test_where_signs_overlap_the_deepest_wedge_is_seen_and_named():
    shapes = [shape("DIŠ", 0), shape("AŠ", 0)]
    near = [Place(60.0, 60.0, 30.0, 42.0, 0.05), Place(64.0, 50.0, 60.0, 20.0, -0.05)]
    far = near[1]._replace(y=160.0)
    [depth, ink], [apart, _] = (
        pressed((210, 130), shapes, [near[0], place], unit=40.0, seed=5) for place in (near[1], far)
    )
    first, second = apart[:100], np.roll(apart, -110, 0)[:100]
    assert (depth[:100] == np.maximum(first, second)).all()
    assert (ink[:100] == np.where(np.maximum(first, second) > 0.6, np.where(second > first, 2, 1), 0)).all()
    assert set(np.unique(ink)) == {0, 1, 2}


# ---- clay and light


def ground(seed=0, size=(300, 260)):
    return clay.Ground(size, (size[1] / 2, size[0] / 2), (size[1] / 2 - 20, size[0] / 2 - 20), 0.03, 30.0, seed)


@pytest.mark.parametrize(("cell", "octaves"), [(0.11, 2), (0.16, 1), (0.8, 5), (3.0, 3)])
def test_noise_has_mean_zero_and_deviation_one(cell, octaves):
    fields = np.stack([clay.noise(ground(seed, (400, 420)), "test", cell=cell, octaves=octaves) for seed in range(6)])
    assert fields.mean() == pytest.approx(0, abs=0.25)
    assert fields.std() == pytest.approx(1, abs=0.08)


def test_noise_of_one_purpose_says_nothing_about_another():
    a, b = (clay.noise(ground(), purpose, cell=0.3) for purpose in ("a", "b"))
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("damage", [0.1, 0.3])
def test_breaks_take_about_the_share_asked_for(damage):
    shares = []
    for seed in range(12):
        _, inside = clay.body(ground(seed))
        missing = clay.breaks(ground(seed), damage=damage)
        assert (missing.drop >= 0).all()
        shares.append((missing.broken | missing.gone)[inside].mean())
    assert np.mean(shares) == pytest.approx(damage, rel=0.4)
    assert not clay.breaks(ground(), damage=0.0).broken.any()


def test_the_middle_stays_however_great_the_damage():
    for seed in range(60):
        small = clay.Ground((90, 90), (45.0, 45.0), (28.0, 28.0), 0.0, 25.0, seed)
        assert not clay.breaks(small, damage=1.0).gone[40:50, 40:50].any()


def test_slopes_towards_the_lamp_are_bright_and_walls_throw_shadows():
    x = np.arange(120, dtype=np.float32)[None] + np.zeros((60, 1), np.float32)
    bump = np.float32(8) * np.exp(-(((x - 60) / 12) ** 2))
    left = clay.Lamp(np.pi, np.deg2rad(35.0), 0.1, 0.0)
    diffuse, mirrored = clay.shade(bump, left, unit=40.0)
    assert diffuse[30, 50] > diffuse[30, 10] > diffuse[30, 70]
    assert (mirrored == 0).all()
    wall = np.where((x > 50) & (x < 60), np.float32(20), np.float32(0))
    shaded, _ = clay.shade(wall, left, unit=40.0)
    # 20 high under a lamp at 35 degrees: a shadow of 20 / tan(35) = 28.6 pixels on the far side, none on the near one
    dark = shaded[30] < 0.5 * shaded[30, 5]
    assert dark[62:80].all()
    assert not dark[92:].any()
    assert not dark[:45].any()


def test_light_comes_from_where_the_lamp_stands():
    x, y = np.meshgrid(*[np.arange(90, dtype=np.float32) - 45] * 2)
    dome = np.sqrt(np.maximum(40**2 - x**2 - y**2, 0)).astype(np.float32)
    inside = x**2 + y**2 < 30**2
    for azimuth, side in ((0.0, x > 0), (90.0, y < 0), (180.0, x < 0), (270.0, y > 0)):
        lamp = clay.lamp(1, azimuth)
        diffuse, _ = clay.shade(dome, lamp, unit=20.0)
        assert diffuse[inside & side].mean() > 1.3 * diffuse[inside & ~side].mean()


# ---- texts


def test_texts_do_not_depend_on_how_many_are_asked_for():
    assert rendering.texts(4, 3) == rendering.texts(4, 5)[:3]
    assert rendering.texts(4, 2) != rendering.texts(5, 2)


def test_texts_are_signs_that_can_be_drawn_common_and_rare_in_formulas_that_come_back():
    texts = rendering.texts(0, 40)
    names = Counter(sign.name for text in texts for sign in text.signs)
    assert 60 <= len(names) <= 110
    for name in names:
        assert characters(name)
    assert all(sign.reading for text in texts for sign in text.signs)
    count = sorted(names.values(), reverse=True)
    assert sum(count[:10]) > 2 * sum(count[-50:])
    lines = Counter(tuple(sign.name for sign in line) for text in texts for line in rendering.lines_of(text))
    assert sum(n for n in lines.values() if n > 1) > 0.4 * lines.total()
    assert len(lines) > 100
    assert all(5 <= len(rendering.lines_of(text)) <= 16 for text in texts)
    assert len({tuple(sign.name for sign in text.signs) for text in texts}) == len(texts)


def test_the_first_choices_of_a_rule_are_the_commonest():
    drawn = Counter(rendering_texts.expanded("day", iter([u])) for u in np.linspace(0, 1, 600, endpoint=False).tolist())
    counts = [drawn[choice] for choice in rendering_texts.GRAMMAR["day"]]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 1.8 * 600 / len(counts)


def test_texts_are_atf_without_a_problem():
    document = atf.parse("\n".join(rendering_texts.document(1, i) for i in range(20)), dialect="c-atf")
    assert document.problems == ()
    assert not atf.unknown(document)


def test_every_choice_of_every_rule_is_made_of_rules_and_readings():
    for rule, choices in rendering_texts.GRAMMAR.items():
        for u in (np.arange(len(choices)) + 0.5) / len(choices):
            numbers = iter([float(u) ** (1 / rendering_texts.SKEW), *[0.0] * 60])
            assert "<" not in rendering_texts.expanded(rule, numbers)


# ---- sets


SMALL = {"tablets": 5, "seed": 2, "sign_height": 16.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return rendering.make_set(tmp_path_factory.mktemp("set"), **SMALL, more_texts=4)


def test_a_set_is_coco_with_regions_lines_and_splits(made):
    document = json.loads((made / "annotations_coco.json").read_text("utf-8"))
    assert {"images", "annotations", "categories"} <= document.keys()
    assert [image["split"] for image in document["images"]] == [
        rendering.split_of(i, rendering.SPLIT) for i in range(5)
    ]
    for image in document["images"]:
        [region] = image["regions"]
        assert len(region["bbox"]) == 4
        assert region["lines"]
        content = (made / image["file_name"]).read_bytes()
        assert Image.open(io.BytesIO(content)).size == (image["width"], image["height"])
    read = coco.read(made / "annotations_coco.json")
    written = [tablet for path in sorted((made / "records").iterdir()) for tablet in records.read(path)]
    for a, b in zip(read, written, strict=True):
        boxed = [sign for sign in b.signs if sign.box is not None]
        assert [(sign.name, sign.damage) for sign in a.signs] == [(sign.name, sign.damage) for sign in boxed]
        assert np.array([s.box for s in a.signs]) == pytest.approx(np.array([s.box for s in boxed]), abs=0.06)
        digest = hashlib.sha256((made / b.photograph.file).read_bytes()).hexdigest()
        assert b.photograph.sha256 == digest
        assert b.language == "sux"


def test_texts_for_a_restorer_leave_out_the_test_tablets(made):
    texts = atf.read(made / "texts.atf")
    test = {f"X{i:06d}" for i in range(5) if rendering.split_of(i, rendering.SPLIT) == "test"}
    assert test
    assert {text.id for text in texts} == {f"X{i:06d}" for i in (*range(5), *range(1_000_000, 1_000_004))} - test


def test_a_set_goes_on_where_it_stopped_and_grows(made, tmp_path):
    first = rendering.make_set(tmp_path / "a", **SMALL | {"tablets": 2})
    untouched = {path: path.stat().st_mtime_ns for path in (first / "images").iterdir()}
    (first / "records" / "X000001.json").unlink()
    (first / "images" / "X000001.jpg").write_bytes(b"half a pict")
    rendering.make_set(first, **SMALL, more_texts=4)
    assert (first / "images" / "X000000.jpg").stat().st_mtime_ns == untouched[first / "images" / "X000000.jpg"]
    for path in made.rglob("*"):
        if path.is_file():
            assert (first / path.relative_to(made)).read_bytes() == path.read_bytes()


def test_a_set_of_other_settings_is_not_touched(made):
    with pytest.raises(UserError, match=r"made with other settings \(set.json\): take another folder"):
        rendering.make_set(made, **SMALL | {"seed": 3})
    with pytest.raises(UserError, match="split must give shares"):
        rendering.make_set(made / "b", tablets=1, split={"train": 0.0})


def test_splits_have_their_shares_in_every_stretch():
    drawn = [rendering.split_of(i, {"train": 0.7, "val": 0.1, "test": 0.2}) for i in range(400)]
    for start in (0, 100, 300):
        count = Counter(drawn[start : start + 100])
        assert abs(count["train"] - 70) <= 3
        assert abs(count["test"] - 20) <= 3
    assert rendering.split_of(7, {"all": 1.0}) == "all"
