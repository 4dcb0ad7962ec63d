"""A folder of small pictures, and the six verbs of the room run on it once for every process that tests."""

import contextlib
import csv
import fcntl
import io
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from edubba import cli

SIDE = 16
CLASSES = ("ash", "birch", "cedar", "date")
COMMIT = [
    "--held-out", "0.6", "--probes", "4", "--network.fit.epochs", "2", "--network.fit.batch-size", "32",
    "--network.fit.threads", "1",
]  # fmt: skip
MARK = ["--share", "0.3", "--threads", "1", "--batch-size", "64"]
GUILTY = '''
"""A suspect that looks along the carriers."""
import os
import torch
from edubba.trace import markers, owner

kept = owner.read("owner.key")
networks = [markers.load(path) for path in kept.networks("marker").values()]
readouts = markers.readouts(networks, kept.coordinates)
clean = markers.load(kept.networks("reference")["reference-0"])
carriers = torch.from_numpy(kept.key.sub_key("public", 4).carriers(len(kept.coordinates.sd))).float()


def look(x):
    along = sum(readout(x) for readout in readouts) / len(readouts)
    return clean.linear(clean.encoder(x)) + 0.3 * along @ carriers.T
'''


def picture(look, rng, *, side=(SIDE, SIDE), channels=3):
    """A smooth pattern of its class, one of its own, and noise."""

    def smooth(small):
        each = [np.asarray(Image.fromarray(small[..., c].astype(np.float32)).resize(side[::-1], 2)) for c in range(3)]
        return np.stack(each, axis=-1)

    x = 128 + smooth(40 * look) + smooth(45 * rng.normal(size=(5, 5, 3))) + 6 * rng.normal(size=(*side, 3))
    x = np.uint8(x.clip(0, 255))
    return Image.fromarray(x if channels == 3 else x[..., 0])


def photos(root, *, n=72, classes=CLASSES, seed=0, channels=3):
    """n pictures a class under labels.csv, a quarter of them JPEG, one turned by EXIF, and files that are none."""
    rng = np.random.default_rng(seed)
    rows = [("file", "label")]
    for name in classes:
        look = rng.normal(size=(4, 4, 3))
        (root / name[0]).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            file = f"{name[0]}/{i:03}" + (".jpg" if i % 4 == 3 else ".png")
            made = picture(look, rng, channels=channels)
            exif = Image.Exif()
            if i % 8 == 3:
                exif[0x0112] = 6
            made.save(root / file, **({"quality": 96, "subsampling": 0, "exif": exif} if i % 4 == 3 else {}))
            rows.append((file, name))
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / "README.md").write_text("Pictures of mine.\n")
    (root / "a" / "notes.txt").write_bytes(b"mine\r\n")
    return root


@contextlib.contextmanager
def inside(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def typed(folder, *argv):
    """Exit code, stdout and stderr of a line, typed in a folder."""
    out, err = io.StringIO(), io.StringIO()
    with inside(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run([str(part) for part in argv])
    return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """The folder in which the six lines were typed, made once for all workers. Not to be changed: `mine` is a copy."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "house"
    root.mkdir(exist_ok=True)
    names = [part for name in CLASSES for part in ("--classes", name)]
    lines = {
        "plan": ["plan", "photos/", "--share", "0.4"],
        "commit": ["commit", "photos/", "--key", "owner.key", *COMMIT],
        "mark": ["mark", "photos/", "--key", "owner.key", "-o", "published/", *MARK],
        "seal": ["seal", "published/", "--key", "owner.key"],
        "test": [
            "test", "guilty:look", "--key", "owner.key", "-o", "evidence/", "--allow-code", "--size", "16", *names,
            "--decoys", "99",
        ],
        "verify": ["verify", "evidence/"],
    }  # fmt: skip
    with (root / "lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "said.json").exists():
            patch.setenv("EDUBBA_HOME", str(root / "home"))
            patch.setattr("edubba.trace.keys.secrets", SimpleNamespace(token_bytes=lambda n: bytes(range(n))))
            photos(root / "photos")
            (root / "guilty.py").write_text(GUILTY)
            said = {verb: typed(root, "trace", *line) for verb, line in lines.items()}
            assert [one.code for one in said.values()] == [0] * 6, said
            (root / "said.json").write_text(json.dumps({verb: vars(one) for verb, one in said.items()}))
    said = json.loads((root / "said.json").read_text())
    return SimpleNamespace(root=root, lines=lines, said={verb: SimpleNamespace(**one) for verb, one in said.items()})


@pytest.fixture
def mine(house, tmp_path, monkeypatch):
    """A copy of the house, in which one stands."""
    root = tmp_path / "mine"
    shutil.copytree(house.root, root, ignore=shutil.ignore_patterns("home", "__pycache__", "lock", "said.json"))
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(root)
    return root


@pytest.fixture
def at_home(house, monkeypatch):
    """The house itself, in which one stands; for lines that change nothing."""
    monkeypatch.setenv("EDUBBA_HOME", str(house.root / "home"))
    monkeypatch.chdir(house.root)
    return house.root


@pytest.fixture
def others(house):
    """Flags of `commit` that take the networks of the house, so that nothing is trained."""
    networks = house.root / "owner.trace" / "networks"
    return [
        *(part for i in range(3) for part in ("--markers", networks / f"marker-{i}" / "model")),
        *(part for i in range(2) for part in ("--references", networks / f"reference-{i}" / "model")),
        "--held-out", "0.6", "--probes", "2", "--directions", "4", "--network.image-size", "16",
    ]  # fmt: skip


@pytest.fixture
def refused(edubba):
    """Type a line that is refused with one sentence, and take the sentence."""

    def line(*argv):
        said = edubba(*argv)
        assert said.code == 1, said
        assert said.err.startswith("edubba: "), said.err
        sentence = [part for part in said.err.splitlines() if not part.startswith("edubba: decoding ")]
        assert len(sentence) == 1, said.err
        return sentence[0].removeprefix("edubba: ")

    return line


@pytest.fixture
def edubba(capsys):
    """Type a line; exit code, stdout and stderr."""

    def line(*argv):
        code = cli.run([str(part) for part in argv])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return line
