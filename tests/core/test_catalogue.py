import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from edubba.core import catalogue, files
from edubba.core.errors import UserError

SHIPPED = [entry for entry in catalogue.entries() if entry.file]


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_shipped_files_are_what_the_catalogue_says(entry):
    content = catalogue.find(entry.name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (entry.bytes, entry.sha256)
    assert entry.what
    assert entry.licence
    assert entry.citation
    assert entry.file in (catalogue.SHIPPED / "NOTICE").read_text()


def test_every_shipped_file_has_a_row():
    no_pictures = {
        "NOTICE",
        "NotoSansCuneiform-OFL.txt",
        "NotoSansCuneiform-Regular.ttf",
        "papers_demo.csv.gz",
        "signlist.json.gz",
    }
    files = {path.name for path in catalogue.SHIPPED.iterdir()} - no_pictures
    assert files == {entry.file for entry in SHIPPED}


def test_oracle_mnist_demo_holds_the_published_pixels_and_a_balanced_split():
    with np.load(catalogue.find("oracle-mnist-demo"), allow_pickle=False) as data:
        assert data["x"].shape == (3000, 28, 28)
        assert data["x"].dtype == np.uint8
        assert np.bincount(data["y"]).tolist() == [300] * 10
        # x and y as repacked from the published files
        content = hashlib.sha256(data["x"].tobytes() + data["y"].tobytes()).hexdigest()
        assert content == "b2bc7d26f309d01e8891920b2b347326c003732bbf07d5dace39ab47eeefb1c4"
        for split, count in (("train", 180), ("validation", 20), ("test", 100)):
            assert np.bincount(data["y"][data["split"] == split]).tolist() == [count] * 10
        assert data["x"].mean() / 255 == pytest.approx(0.2344, abs=5e-5)  # as published with the set


def test_a_name_that_was_added_is_found_and_listed(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    catalogue.add("seals", "photos")
    catalogue.add("a.b", "photos")
    assert catalogue.find("seals") == tmp_path / "photos"
    assert [entry.name for entry in catalogue.entries()] == ["a.b", "oracle-mnist-demo", "seals"]
    assert [path.name for path in files.home().iterdir()] == ["catalogue.toml"]


def test_a_path_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert catalogue.source("oracle-mnist-demo") == catalogue.SHIPPED / "oracle_mnist_demo.npz"
    (tmp_path / "oracle-mnist-demo").mkdir()
    assert catalogue.source("oracle-mnist-demo") == Path("oracle-mnist-demo")
    assert catalogue.source(tmp_path) == tmp_path


def test_folders_of_edubba_data_are_searched_in_their_order(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "b" / "seals").mkdir()
    monkeypatch.setenv("EDUBBA_DATA", os.pathsep.join([str(tmp_path / "a"), "", str(tmp_path / "b")]))
    assert catalogue.source("seals") == tmp_path / "b" / "seals"
    (tmp_path / "a" / "seals").mkdir()
    assert catalogue.source("seals") == tmp_path / "a" / "seals"


def test_a_file_that_does_not_ship_is_found_in_edubba_data(tmp_path, monkeypatch):
    files.write(files.home() / "catalogue.toml", '[cifar]\nfile = "cifar10.npz"\n')
    with pytest.raises(UserError) as error:
        catalogue.find("cifar")
    assert str(error.value) == (
        "cifar10.npz of 'cifar' is not on this machine: put it into a folder that EDUBBA_DATA names"
    )
    (tmp_path / "cifar10.npz").touch()
    monkeypatch.setenv("EDUBBA_DATA", str(tmp_path))
    assert catalogue.find("cifar") == tmp_path / "cifar10.npz"


def sentence(function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    return str(error.value)


def test_errors(tmp_path):
    assert sentence(catalogue.source, "oracle-mnist-dmeo") == (
        "there is no file or folder 'oracle-mnist-dmeo' and the catalogue has no data set of this name; did you mean"
        " 'oracle-mnist-demo'?"
    )
    assert sentence(catalogue.source, "xyz") == (
        "there is no file or folder 'xyz' and the catalogue has no data set of this name; there are: oracle-mnist-demo"
    )
    assert sentence(catalogue.add, "x", tmp_path / "no") == f"{tmp_path / 'no'} does not exist"
    assert (
        sentence(catalogue.add, "a/b", tmp_path)
        == "'a/b' cannot be a name in the catalogue: use a word without slashes"
    )
    assert sentence(catalogue.add, "oracle-mnist-demo", tmp_path) == (
        "the catalogue already has 'oracle-mnist-demo': choose another name"
    )


def test_an_added_folder_that_is_gone_is_named(tmp_path):
    (tmp_path / "photos").mkdir()
    catalogue.add("seals", tmp_path / "photos")
    (tmp_path / "photos").rmdir()
    own = files.home() / "catalogue.toml"
    assert sentence(catalogue.find, "seals") == (
        f"'seals' was added as {tmp_path / 'photos'}, which no longer exists: mend its path in {own}"
    )
    assert sentence(catalogue.add, "seals", tmp_path) == "the catalogue already has 'seals': choose another name"


def test_a_broken_catalogue_is_named(tmp_path):
    own = files.write(files.home() / "catalogue.toml", "seals = 1")
    assert sentence(catalogue.entries) == f"{own}: 'seals' is 1, not a table with a path"
    files.write(own, '[seals]\npaht = "x"')
    assert sentence(catalogue.entries) == f"{own}: [seals] unknown setting 'paht'; did you mean 'path'?"
