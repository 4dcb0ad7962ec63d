import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edubba.core import spec
from edubba.core.errors import UserError
from edubba.core.settings import Fit, Views


@dataclass(frozen=True)
class Inner:
    strength: float | None = None
    preset: Literal["photos", "writing"] = "photos"


@dataclass(frozen=True)
class Outer:
    name: str = "small"
    batch_size: int = 256
    lr: float = 2e-3
    grey: bool = False
    blur: float | Literal["auto"] = "auto"
    folder: Path | None = None
    labels: tuple[int, ...] = (5, 20)
    methods: tuple[Literal["knn", "linear"], ...] = ("knn",)
    size: tuple[int, float] = (1, 0.5)
    views: Inner = Inner()


@dataclass(frozen=True)
class Derived(Outer):
    batch_size: int = 64
    epochs: int = 3


outers = st.builds(
    Outer,
    name=st.text(st.characters(codec="utf-8")),
    batch_size=st.integers(-(2**63), 2**63 - 1),
    lr=st.floats(allow_nan=False, allow_infinity=False),
    grey=st.booleans(),
    blur=st.one_of(st.just("auto"), st.floats(0, 1)),
    folder=st.sampled_from([None, Path("a/b")]),
    labels=st.lists(st.integers(0, 99)).map(tuple),
    methods=st.sampled_from([(), ("linear", "knn")]),
    size=st.tuples(st.integers(0, 9), st.floats(0, 1)),
    views=st.builds(
        Inner, strength=st.one_of(st.none(), st.floats(0, 2)), preset=st.sampled_from(["photos", "writing"])
    ),
)


@hypothesis_settings(deadline=None)
@given(outers)
def test_settings_survive_toml(tmp_path_factory, settings):
    path = tmp_path_factory.mktemp("spec") / "spec.toml"
    spec.write(path, {"contrast": {"pretrain": spec.to_table(settings)}})
    again = spec.from_table(Outer, spec.read(path)["contrast"]["pretrain"])
    assert again == settings
    assert spec.fingerprint(again) == spec.fingerprint(settings)
    assert spec.differences(settings, again) == []


def test_none_is_left_out_and_nested_settings_are_tables():
    table = spec.to_table(Outer(views=Inner(preset="writing")))
    assert "folder" not in table
    assert table["views"] == {"preset": "writing"}
    assert table["labels"] == [5, 20]


@dataclass(frozen=True)
class Unwritable:
    blur: float | None = 0.5


def test_none_where_it_is_not_the_default_cannot_be_written():
    with pytest.raises(ValueError, match=r"Unwritable\.blur is None but its default is not: TOML cannot say so"):
        spec.to_table(Unwritable(blur=None))


def test_what_is_left_out_takes_its_default_and_whole_numbers_are_floats():
    settings = spec.from_table(Derived, {"lr": 1, "size": [3, 1], "blur": 0})
    assert settings == Derived(lr=1.0, size=(3, 1.0), blur=0.0)
    assert [type(x) for x in (settings.lr, settings.size[1], settings.blur)] == [float, float, float]
    assert settings.batch_size == 64


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"batchsize": 3}, "unknown setting 'batchsize'; did you mean 'batch_size'?"),
        ({"views": {"strenght": 3}}, "unknown setting 'views.strenght'; did you mean 'views.strength'?"),
        ({"views": {"xyz": 3}}, "unknown setting 'views.xyz'; there are: views.preset, views.strength"),
        ({"batch_size": 2.5}, "batch_size is 2.5; expected a whole number"),
        ({"batch_size": True}, "batch_size is true; expected a whole number"),
        ({"batch_size": "64"}, "batch_size is '64'; expected a whole number"),
        ({"lr": "fast"}, "lr is 'fast'; expected a number"),
        ({"lr": float("nan")}, "lr is nan; expected a number"),
        ({"lr": True}, "lr is true; expected a number"),
        ({"grey": 1}, "grey is 1; expected true or false"),
        ({"name": 1}, "name is 1; expected a text"),
        ({"folder": 1}, "folder is 1; expected a path"),
        ({"blur": "maybe"}, "blur is 'maybe'; expected a number or 'auto'"),
        ({"labels": 5}, "labels is 5; expected a list (each a whole number)"),
        ({"labels": [5, "x"]}, "labels[1] is 'x'; expected a whole number"),
        ({"methods": ["svm"]}, "methods[0] is 'svm'; expected one of 'knn', 'linear'"),
        ({"size": [1]}, "size is [1]; expected a list (a whole number, a number)"),
        ({"views": 3}, "views is 3; expected a table of strength, preset"),
        ({"views": {"preset": "photo"}}, "views.preset is 'photo'; expected one of 'photos', 'writing'"),
        ({"views": {"strength": "1"}}, "views.strength is '1'; expected a number"),
    ],
)
def test_errors_name_key_value_and_what_was_expected(table, sentence):
    with pytest.raises(UserError) as error:
        spec.from_table(Outer, table)
    assert str(error.value) == sentence


def test_a_fingerprint_is_canonical_json_and_golden():
    # printf '{"lr":1.0,"name":"a"}' | sha256sum
    two = dataclasses.make_dataclass("Two", [("name", str, "a"), ("lr", float, 1.0)], frozen=True)
    assert spec.fingerprint(two()) == spec.fingerprint(two(lr=1)) == "390831bfe797ab5c"


@hypothesis_settings(deadline=None)
@given(outers, outers)
def test_fingerprints_differ_exactly_where_settings_do(a, b):
    assert (spec.fingerprint(a) == spec.fingerprint(b)) == (spec.differences(a, b) == [])


def test_every_setting_of_training_changes_the_fingerprint():
    other = {bool: lambda x: not x, int: lambda x: x + 1, float: lambda x: x + 0.5, str: lambda x: x}
    choices = {"optimizer": "lars", "lr_scaling": "sqrt", "keep": "best", "precision": "bf16", "device": "cpu"}
    fit, seen = Fit(), {spec.fingerprint(Fit())}
    for field in dataclasses.fields(fit):
        value = getattr(fit, field.name)
        seen.add(
            spec.fingerprint(
                dataclasses.replace(fit, **{field.name: choices.get(field.name) or other[type(value)](value)})
            )
        )
    assert len(seen) == 1 + len(dataclasses.fields(fit))


def test_differences_are_phrases():
    a = Outer(batch_size=256, views=Inner(strength=0.5))
    b = Outer(batch_size=128, grey=True, folder=Path("x"))
    assert spec.differences(a, b) == [
        "batch_size was 256, is 128",
        "grey was false, is true",
        "views.strength was 0.5, is not set",
        "folder was not set, is 'x'",
    ]
    assert spec.differences(spec.to_table(a), b) == spec.differences(a, b)


def test_views_and_fit_survive_toml(tmp_path):
    for settings in (Views(preset="writing", blur=0.5), Fit(lr=0.1, optimizer="lars")):
        spec.write(tmp_path / "a.toml", spec.to_table(settings))
        assert spec.from_table(type(settings), spec.read(tmp_path / "a.toml")) == settings


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "spec.toml"
    spec.write(path, {"a": 1})
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        spec.write(path, {"a": 2})
    assert spec.read(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["spec.toml"]


def test_unreadable_files_are_named(tmp_path):
    path = tmp_path / "spec.toml"
    with pytest.raises(UserError) as error:
        spec.read(path)
    assert str(error.value) == f"{path} does not exist"
    path.write_text("a = 1\nb = ]\n")
    with pytest.raises(UserError) as error:
        spec.read(path)
    assert str(error.value) == f"{path} is not a TOML file: Invalid value (at line 2, column 5)"
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match="is not a TOML file"):
        spec.read(path)
