import json
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from edubba import __version__
from edubba.core import encoders, models, train
from edubba.core.errors import UserError

OLD = Path(__file__).parents[1] / "data" / "model-1"


def card(kind="encoder", *, name="small", channels=1, **changes):
    given = {
        "kind": kind,
        "architecture": {"name": name, "arguments": {"channels": channels, "size": 16}},
        "code": name if ":" in name else None,
        "input": {
            "kind": "image", "channels": channels, "size": 16, "range": [0, 1], "mean": [0.25] * channels,
            "std": [0.5] * channels,
        },
        "output": {"embedding": 512, "classes": ["sun", "moon"] if kind == "classifier" else None},
    }  # fmt: skip
    return models.card(**given | changes)


def network(kind="encoder", channels=1):
    network = encoders.build("small", channels=channels, size=16, seed=3)
    encoder = encoders.Encoder(encoders.Normalise([0.25] * channels, [0.5] * channels), network)
    return (train.Classifier(encoder, 2, seed=3) if kind == "classifier" else encoder).eval()


def pictures(channels=1):
    return (torch.arange(2 * channels * 256) % 29 / 28).view(2, channels, 16, 16)


def edit(path, **changes):
    content = json.loads((path / "model.json").read_text()) | changes
    (path / "model.json").write_text(json.dumps(content))


def sentence(path, **arguments):
    with pytest.raises(UserError) as error:
        models.load(path, **arguments)
    return str(error.value)


@pytest.fixture
def bundle(tmp_path):
    return models.save(tmp_path / "model", network(), card())


@pytest.mark.parametrize("kind", ["encoder", "classifier"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_is_loaded_as_it_was_saved(tmp_path, kind, channels):
    model, made = network(kind, channels), card(kind, channels=channels)
    loaded = models.load(models.save(tmp_path / "a" / "model", model, made))
    assert not loaded.model.training
    assert loaded.card | {"files": {}} == made
    x = pictures(channels)
    torch.testing.assert_close(loaded.model(x), model(x), rtol=0, atol=0)


def test_the_model_takes_pictures_in_0_to_1_and_normalises_them_by_the_card(bundle):
    # mean .25 and std .5 stand in model.json alone: with 0 and 1 there, x gives what (x - .25) / .5 gave
    x = pictures()
    before = models.load(bundle).model(x)
    edit(bundle, input=card()["input"] | {"mean": [0.0], "std": [1.0]})
    torch.testing.assert_close(models.load(bundle).model((x - 0.25) / 0.5), before)
    assert not torch.allclose(models.load(bundle).model(x), before)
    with open(bundle / "model.safetensors", "rb") as file:
        assert not any("normalise" in name for name in safetensors.torch.load(file.read()))


def test_a_bundle_of_the_first_format_gives_the_logits_it_gave(tmp_path):
    # written once by tests/data/model-1/make.py, edubba 0.1.0.dev0, torch 2.13.0
    with tarfile.open(OLD / "small-classifier.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    bundle = models.load(tmp_path / "small-classifier")
    x = (torch.arange(3 * 28 * 28) ** 2 % 29 / 28).view(3, 1, 28, 28)
    expected = json.loads((OLD / "expected.json").read_text())["logits"]
    torch.testing.assert_close(bundle.model(x), torch.tensor(expected), rtol=1e-4, atol=1e-5)
    assert bundle.card["output"]["classes"] == ["big", "sun", "moon"]
    assert bundle.card["calibration"]["temperature"] == 1.5


def test_loading_and_building_leave_the_global_random_state_alone(tmp_path):
    path = models.save(tmp_path / "model", network("classifier"), card("classifier"))
    before = torch.get_rng_state()
    models.load(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_shared_and_channels_last_weights_are_saved(tmp_path):
    model = network().to(memory_format=torch.channels_last)
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d) and part.num_features == 32]
    norms[1].weight = norms[0].weight
    loaded = models.load(models.save(tmp_path / "model", model, card())).model
    torch.testing.assert_close(loaded(pictures()), model(pictures()))


def test_saving_again_replaces_the_bundle_and_leaves_nothing_beside_it(bundle):
    other = network()
    with torch.no_grad():
        next(other.parameters()).zero_()
    models.save(bundle, other, card())
    assert torch.equal(models.load(bundle).model(pictures()), other(pictures()))
    assert sorted(os.listdir(bundle.parent)) == ["model"]
    assert sorted(os.listdir(bundle)) == ["model.json", "model.safetensors"]


def test_a_save_that_fails_leaves_the_old_bundle(bundle, monkeypatch):
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    rename = os.replace

    def full(source, target):
        if str(source).endswith(".part") and Path(source).is_dir():
            raise OSError("no space")
        rename(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        models.save(bundle, network(), card())
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert os.listdir(bundle.parent) == ["model"]


def test_what_is_no_bundle_is_never_replaced(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UserError) as error:
        models.save(tmp_path, network(), card())
    assert str(error.value) == f"{tmp_path} exists and is not a model bundle: choose another folder"


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match=r"the model is not the 'small' of its card: network\.0\.weight is \(32, 3,"):
        models.save(tmp_path / "model", network(channels=3), card(channels=1))
    with pytest.raises(ValueError, match=r"encoder\.network\.0\.weight is absent, expected \(32, 1, 3, 3\)"):
        models.save(tmp_path / "model", network(), card("classifier"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_file_is_named(bundle, damage):
    file = bundle / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    {
        "flip": lambda: file.write_bytes(content),
        "cut": lambda: file.write_bytes(file.read_bytes()[:-1]),
        "remove": file.unlink,
    }[damage]()
    assert sentence(bundle) == (f"{file} is damaged or missing (its SHA-256 is not that of model.json): copy it again")


def test_a_newer_format_says_upgrade(bundle):
    edit(bundle, format="edubba.model/2")
    assert sentence(bundle) == (
        f"{bundle} is edubba.model/2, written by a newer edubba (this is {__version__}): upgrade edubba"
    )
    edit(bundle, format="edubba.run/1")
    assert sentence(bundle) == f"{bundle / 'model.json'} has format 'edubba.run/1', expected 'edubba.model/1'"


def test_a_kind_of_a_later_room_says_upgrade(bundle):
    edit(bundle, kind="detector")
    assert sentence(bundle) == f"{bundle} is a detector, where encoder or classifier is needed"


def test_no_bundle_no_json_and_no_table_are_named(tmp_path):
    assert sentence(tmp_path) == f"{tmp_path} is not a model bundle: it holds no model.json"
    (tmp_path / "model.json").write_text('{"format": ')
    assert sentence(tmp_path) == (
        f"{tmp_path / 'model.json'} is not JSON (Expecting value: line 1 column 12 (char 11)): copy the bundle again"
    )
    (tmp_path / "model.json").write_text("[]")
    assert sentence(tmp_path) == f"{tmp_path / 'model.json'} has format None, expected 'edubba.model/1'"


def test_files_outside_the_bundle_are_not_touched(bundle):
    edit(bundle, files=json.loads((bundle / "model.json").read_text())["files"] | {"../secret": "0"})
    assert sentence(bundle) == (
        f"{bundle / 'model.json'}: files must name model.safetensors and nothing outside the bundle"
    )
    edit(bundle, files={})
    assert "files must name model.safetensors" in sentence(bundle)


def test_weights_of_another_architecture_are_refused(bundle):
    edit(bundle, architecture={"name": "small", "arguments": {"channels": 1, "size": 16, "width": 2}})
    assert sentence(bundle) == (
        f"{bundle / 'model.safetensors'} does not fit the 'small' of this edubba ({__version__}): network.0.weight is"
        " (32, 1, 3, 3), expected (64, 1, 3, 3)"
    )


@pytest.fixture
def strange(tmp_path, monkeypatch):
    """A bundle of a network that is not edubba's, and a file that its import would leave behind."""
    (tmp_path / "strange_network.py").write_text(
        "from pathlib import Path\nfrom torch import nn\n"
        "Path(__file__).with_name('was run').touch()\n"
        "def make(): return nn.Sequential(nn.Flatten(), nn.Linear(256, 5))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = card(name="strange_network:make")
    path = models.save(tmp_path / "model", models.build(made), made)
    del sys.modules["strange_network"]
    (tmp_path / "was run").unlink()
    yield path, tmp_path / "was run"
    sys.modules.pop("strange_network", None)


def test_a_strangers_code_runs_only_when_allowed(strange):
    path, trace = strange
    assert sentence(path) == (
        f"{path} needs the code 'strange_network:make', which is not edubba's: if you trust it, add --allow-code (allow_code=True in Python)"
    )
    assert not trace.exists()
    assert models.load(path, allow_code=True).model(pictures()).shape == (2, 5)
    assert trace.exists()


@pytest.mark.parametrize("code", [None, "os:getcwd"])
def test_code_cannot_be_hidden_in_the_card(strange, code):
    path, trace = strange
    edit(path, code=code)
    assert sentence(path) == (f"{path / 'model.json'}: code is {code!r} but the architecture is 'strange_network:make'")
    edit(path, code="strange_network:make", architecture={"name": "small", "arguments": {}})
    assert "code is 'strange_network:make' but the architecture is 'small'" in sentence(path)
    assert not trace.exists()


def test_a_card_is_plain_and_complete():
    made = card(run=None, data={"n": 3})
    assert list(made) == [
        "format", "kind", "architecture", "code", "input", "output", "calibration", "data", "licence", "run", "files",
        "edubba", "created",
    ]  # fmt: skip
    assert json.loads(json.dumps(made)) == made
    assert made["format"] == "edubba.model/1"
    assert made["edubba"] == __version__


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"kind": "poem"}, "kind is 'poem', expected one of encoder, classifier, detector, restorer, text-encoder"),
        ({"architecture": {"name": "small"}}, "architecture lacks arguments"),
        ({"input": {"kind": "image", "size": 3}}, "input lacks channels, mean, range, std"),
        ({"output": {}}, "output lacks classes, embedding"),
        ({"code": "a:b"}, "code is 'a:b' but the architecture is 'small'"),
        ({"channels": 3, "input": card()["input"] | {"channels": 3}}, r"3 channels, but mean \[0.25\] and std \[0.5\]"),
        ({"kind": "classifier", "output": {"embedding": 3, "classes": []}}, "a classifier without classes"),
    ],
)
def test_a_wrong_card_is_refused(changes, fault):
    with pytest.raises(ValueError, match=f"^{fault}$"):
        card(**changes)


def test_a_card_holds_no_nan():
    with pytest.raises(ValueError, match="JSON"):
        card(calibration={"temperature": np.nan})
