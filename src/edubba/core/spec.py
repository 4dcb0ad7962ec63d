"""Settings as text: frozen dataclass <-> TOML table <-> fingerprint, with errors that name the key."""

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tomli_w

from edubba.core import files
from edubba.core.errors import UserError

Spec = TypeVar("Spec")


def to_table(spec) -> dict[str, Any]:
    """The fields of a dataclass as a table that TOML can hold; nested dataclasses become nested tables.

    TOML has no null: a field that is None is left out, which is only allowed where None is the default.

    >>> from edubba.core.settings import Views
    >>> to_table(Views(strength=0.5))
    {'preset': 'photos', 'strength': 0.5}
    """
    table = {}
    for field in fields(spec):
        value = getattr(spec, field.name)
        if value is not None:
            table[field.name] = _plain(value)
        elif field.default is not None:
            raise ValueError(f"{type(spec).__name__}.{field.name} is None but its default is not: TOML cannot say so")
    return table


def from_table(cls: type[Spec], table: dict[str, Any]) -> Spec:
    """A dataclass from a table; what the table leaves out takes its default.

    Fields may be bool, int, float, str, Path, Literal, tuples and unions of these, or dataclasses.
    A whole number is taken for a float; nothing else is converted.

    Raises
    ------
    UserError
        A key that the dataclass lacks, or a value of another type: key, value and what was expected.

    >>> from edubba.core.settings import Fit
    >>> from_table(Fit, {"lr": 1}).lr
    1.0
    """
    return _from_table(cls, table, prefix="")


def _from_table(cls, table, prefix):
    kinds = get_type_hints(cls)
    known = [field.name for field in fields(cls) if field.init]
    for key in table:
        if key not in known:
            raise UserError(
                f"unknown setting {prefix + key!r}{did_you_mean(prefix + key, (prefix + k for k in known))}"
            )
    return cls(**{key: _value(kinds[key], value, prefix + key) for key, value in table.items()})


def _value(kind, value, key):
    """`value` as `kind`, or UserError."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        arms = [arm for arm in args if arm is not NoneType]
        fitting = [arm for arm in arms if _fits(arm, value)]
        return _value((fitting or arms)[0], value, key) if fitting or len(arms) == 1 else _refuse(kind, value, key)
    if not _fits(kind, value):
        _refuse(kind, value, key)
    if is_dataclass(kind):
        return _from_table(kind, value, prefix=f"{key}.")
    if origin is tuple:
        items = args[:1] * len(value) if args[-1] is Ellipsis else args
        return tuple(_value(item, v, f"{key}[{i}]") for i, (item, v) in enumerate(zip(items, value, strict=True)))
    return kind(value) if kind in (float, Path) else value


def _fits(kind, value) -> bool:
    """Whether `value` has the outer form of `kind`; the insides of tables and lists are looked at later."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(arm, value) for arm in args)
    if origin is Literal:
        return any(value == arg and type(value) is type(arg) for arg in args)
    if origin is tuple:
        return isinstance(value, list | tuple) and (args[-1] is Ellipsis or len(value) == len(args))
    if is_dataclass(kind):
        return isinstance(value, dict)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is {Path: str}.get(kind, kind)  # bool is an int in Python, but True is no batch size


def _refuse(kind, value, key):
    raise UserError(f"{key} is {_shown(value)}; expected {_expected(kind)}")


def _expected(kind) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_expected(arm) for arm in args if arm is not NoneType)
    if origin is Literal:
        return (f"one of {', '.join(map(repr, args))}") if len(args) > 1 else repr(args[0])
    if origin is tuple:
        each = f"each {_expected(args[0])}" if args[-1] is Ellipsis else ", ".join(map(_expected, args))
        return f"a list ({each})"
    if is_dataclass(kind):
        return f"a table of {', '.join(field.name for field in fields(kind))}"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
    return words[kind]


def _shown(value) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)


def _plain(value):
    if is_dataclass(value):
        return to_table(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known one, else the list of them.

    >>> did_you_mean("batchsize", ["batch_size", "epochs"])
    "; did you mean 'batch_size'?"
    >>> did_you_mean("x", ["batch_size", "epochs"])
    '; there are: batch_size, epochs'
    """
    words = sorted(words)
    near = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(words)}"


def fingerprint(spec) -> str:
    """16 hexadecimal digits that change with any setting: SHA-256 of the settings as canonical JSON.

    `Fit(lr=1)` and `Fit(lr=1.0)` are the same settings and have the same fingerprint.
    """
    table = to_table(from_table(type(spec), to_table(spec)))
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(a, b) -> list[str]:
    """What changed from `a` to `b` (dataclasses or tables), one phrase a setting.

    >>> from edubba.core.settings import Fit
    >>> differences(Fit(batch_size=256), Fit(batch_size=128))
    ['batch_size was 256, is 128']
    """
    before, after = _flat(a), _flat(b)
    keys = [*before, *(key for key in after if key not in before)]
    return [
        f"{key} was {_shown(before[key]) if key in before else 'not set'}, "
        f"is {_shown(after[key]) if key in after else 'not set'}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _flat(spec, prefix="") -> dict[str, Any]:
    table = spec if isinstance(spec, dict) else to_table(spec)
    flat = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def write(path: str | Path, tables: dict[str, Any]) -> None:
    """Write a TOML file in one step."""
    files.write(Path(path), tomli_w.dumps(tables))


def read(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises
    ------
    UserError
        The file is missing or is not TOML; line and column are named.
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a TOML file: {error}") from None
