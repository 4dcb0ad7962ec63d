"""Strangers' models: what is accepted, what it says, and what is refused in a sentence."""

import json
import pickle

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edubba.core import encoders, images, models, train, views
from edubba.core.errors import UserError
from edubba.trace import suspects

CLASSES = ["sun", "moon", "star"]


def pixels(n=5, side=16, c=3, *, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, c), dtype=np.uint8)


def bundle(path, *, kind="classifier", channels=3, size=8):
    network = encoders.build("small", channels=channels, size=size, seed=3)
    encoder = encoders.Encoder(encoders.Normalise([0.4] * channels, [0.3] * channels), network)
    model = (train.Classifier(encoder, 3, seed=3) if kind == "classifier" else encoder).eval()
    torch.nn.init.normal_(model.linear.weight) if kind == "classifier" else None
    card = models.card(
        kind=kind,
        architecture={"name": "small", "arguments": {"channels": channels, "size": size}},
        input={
            "kind": "image", "channels": channels, "size": size, "range": [0, 1], "mean": [0.4] * channels,
            "std": [0.3] * channels,
        },
        output={"embedding": 512, "classes": CLASSES if kind == "classifier" else None},
    )  # fmt: skip
    return models.save(path, model, card), model


def weights(channels=3, k=3, size=8):
    return np.random.default_rng(1).normal(size=(channels * size * size, k)).astype(np.float32)


def graph_of(
    path, *, last=None, channels=3, size=8, batch="n", metadata=None, domain="", external=None, k=3, kind=TensorProto.FLOAT
):  # fmt: skip
    """A linear classifier of the flattened picture as an ONNX file."""
    w = numpy_helper.from_array(weights(channels if isinstance(channels, int) else 3, k), "w")
    nodes = [
        helper.make_node("Cast", ["x"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["cast"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["z"]),
    ]
    nodes.append(helper.make_node(last or "Identity", ["z"], ["y"], domain=domain))
    x = helper.make_tensor_value_info("x", kind, [batch, channels, size, size])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, k])
    graph = helper.make_graph(nodes, "linear", [x], [y], [w])
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    for key, value in ({"classes": json.dumps(CLASSES)} if metadata is None else metadata).items():
        model.metadata_props.add(key=key, value=value)
    if external is not None:
        tensor = model.graph.initializer[0]
        if (path.parent / external).parent.is_dir():
            (path.parent / external).write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=external)
    path.write_bytes(model.SerializeToString())
    return path


def expected(x, *, mean=0.0, std=1.0, scale=1.0):
    small = views.evaluation(torch.from_numpy(x), size=8).numpy()
    z = ((small * scale - mean) / std).reshape(len(x), -1).astype(np.float64) @ weights()
    return z - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True)) - z.max(1, keepdims=True)


def sentence(path, **arguments):
    with pytest.raises(UserError) as error:
        suspects.load(path, **arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_bundle_gives_the_log_probabilities_of_its_model(tmp_path, channels):
    path, model = bundle(tmp_path / "model", channels=channels)
    suspect = suspects.load(path)
    assert (suspect.kind, suspect.classes, suspect.size, suspect.channels) == ("bundle", CLASSES, 8, channels)
    assert len(suspect.sha256) == 64
    x = pixels(c=channels)
    logits = train.predict(model, x, size=8)
    got = suspect.log_probabilities(x, batch_size=2)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, logits.double().log_softmax(1).numpy(), atol=1e-5)
    np.testing.assert_allclose(np.exp(got).sum(1), 1, atol=1e-12)


def test_pictures_rows_and_arrays_are_the_same_to_it(tmp_path):
    suspect = suspects.load(bundle(tmp_path / "model")[0])
    x = pixels()
    wanted = suspect.log_probabilities(x)
    assert (suspect.log_probabilities(images.Rows(x[::-1].copy(), np.arange(5)[::-1])) == wanted).all()
    assert (suspect.log_probabilities(images.open(x, size=8)) == wanted).all()


def test_grey_pictures_are_repeated_and_colour_becomes_luma(tmp_path):
    grey, colour = pixels(c=1), pixels(c=3)
    of_colour = suspects.load(bundle(tmp_path / "colour")[0])
    of_grey = suspects.load(bundle(tmp_path / "grey", channels=1)[0])
    assert (of_colour.log_probabilities(grey) == of_colour.log_probabilities(grey.repeat(3, 3))).all()
    luma = np.rint(colour @ np.array([0.2989, 0.587, 0.114])).astype(np.uint8)[..., None]
    assert (of_grey.log_probabilities(colour) == of_grey.log_probabilities(luma)).all()
    assert "luma" in of_grey.cautions(3)[0]
    assert "grey pictures" in of_colour.cautions(1)[0]
    assert of_grey.cautions(1) == of_colour.cautions(3) == []


def test_a_run_folder_is_its_model(tmp_path):
    bundle(tmp_path / "run" / "model")
    (tmp_path / "run" / "spec.toml").write_text("")
    assert suspects.load(tmp_path / "run").sha256 == suspects.load(tmp_path / "run" / "model").sha256
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "spec.toml").write_text("")
    assert "a run without a model" in sentence(tmp_path / "other")


def test_a_bundle_is_refused_where_it_names_no_classes_or_speaks_for_itself(tmp_path):
    encoder, _ = bundle(tmp_path / "encoder", kind="encoder")
    assert "names no classes" in sentence(encoder)
    classifier, _ = bundle(tmp_path / "classifier")
    assert "leave out size" in sentence(classifier, size=8)


@pytest.mark.parametrize("last", [None, "Softmax", "LogSoftmax"])
@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_onnx_gives_log_probabilities_whatever_its_last_layer_and_batch(tmp_path, last, batch):
    suspect = suspects.load(graph_of(tmp_path / "m.onnx", last=last, batch=batch))
    assert (suspect.kind, suspect.size, suspect.channels, suspect.probabilities) == ("onnx", 8, 3, last == "Softmax")
    x = pixels(side=8)
    wanted = expected(x)
    seen = wanted > np.log(1e-9)  # a float32 softmax keeps these
    np.testing.assert_allclose(suspect.log_probabilities(x)[seen], wanted[seen], atol=2e-4)
    assert (suspect.log_probabilities(x)[~seen] < np.log(1e-8)).all()


def test_onnx_is_normalised_by_its_metadata_and_by_what_is_given(tmp_path):
    said = {"classes": json.dumps(CLASSES), "mean": "[0.5, 0.5, 0.5]", "std": "[2, 2, 2]"}
    path, x = graph_of(tmp_path / "m.onnx", metadata=said), pixels(side=8)
    suspect = suspects.load(path)
    assert suspect.warnings == []
    np.testing.assert_allclose(suspect.log_probabilities(x), expected(x, mean=0.5, std=2.0), atol=1e-4)
    suspect = suspects.load(path, input_range=(0.0, 255.0), mean=[100.0] * 3, std=[50.0] * 3)
    np.testing.assert_allclose(
        suspect.log_probabilities(x), expected(x, mean=100, std=50, scale=255), atol=1e-4, rtol=1e-5
    )
    bare = graph_of(tmp_path / "bare.onnx", metadata={})
    assert "--classes" in sentence(bare)
    suspect = suspects.load(bare, classes=["a", "b", "c"])
    assert suspect.classes == ["a", "b", "c"]
    assert "not normalised" in suspect.warnings[0]


def test_onnx_with_open_sizes(tmp_path):
    path = graph_of(tmp_path / "m.onnx", channels="c", size="s")
    assert "--size" in sentence(path)
    x = pixels(side=8)
    np.testing.assert_allclose(suspects.load(path, size=8).log_probabilities(x), expected(x), atol=1e-4)


def test_onnx_is_checked_for_form(tmp_path):
    assert "operations of 'evil'" in sentence(graph_of(tmp_path / "a.onnx", domain="evil", last="Run"))
    assert "for 3 classes" in sentence(graph_of(tmp_path / "b.onnx", k=4))
    assert "float32 pictures" in sentence(graph_of(tmp_path / "c.onnx", kind=TensorProto.FLOAT16))
    assert "cannot be run" in sentence(graph_of(tmp_path / "d.onnx", last="NoSuchOperation"))
    assert "1 or 3 channels" in sentence(graph_of(tmp_path / "e.onnx", channels=5))
    assert "at least two different names" in sentence(graph_of(tmp_path / "f.onnx"), classes=["a", "a", "b"])
    assert "'mean' is no JSON list" in sentence(graph_of(tmp_path / "g.onnx", metadata={"mean": "half"}))
    assert "one number for each" in sentence(graph_of(tmp_path / "h.onnx"), mean=[0.5])
    damaged = tmp_path / "i.onnx"
    damaged.write_bytes(b"not a model at all")
    assert "damaged or no ONNX file" in sentence(damaged)


def test_onnx_with_several_outputs_says_so(tmp_path):
    model = onnx.load(graph_of(tmp_path / "m.onnx"))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 3]))
    onnx.save(model, tmp_path / "two.onnx")
    assert "outputs 'y', 'z'" in sentence(tmp_path / "two.onnx")


def test_onnx_weights_may_lie_beside_it_and_nowhere_else(tmp_path):
    whole = suspects.load(graph_of(tmp_path / "whole.onnx"))
    (tmp_path / "in").mkdir()
    path = graph_of(tmp_path / "in" / "m.onnx", external="m.data")
    suspect, x = suspects.load(path), pixels()
    assert (suspect.log_probabilities(x) == whole.log_probabilities(x)).all()
    data = (tmp_path / "in" / "m.data").read_bytes()
    (tmp_path / "in" / "m.data").write_bytes(data[:-1] + b"\x01")
    assert suspects.load(path).sha256 != suspect.sha256
    (tmp_path / "in" / "m.data").unlink()
    assert "'m.data', which is missing" in sentence(path)
    (tmp_path / "secret").write_bytes(data)
    (tmp_path / "in" / "m.data").symlink_to(tmp_path / "secret")
    assert "outside its folder" in sentence(path)
    assert "'../secret' outside its folder" in sentence(graph_of(tmp_path / "in" / "up.onnx", external="../secret"))


def test_weights_of_a_branch_may_not_lie_outside_either(tmp_path):
    def branch(name):
        w = numpy_helper.from_array(np.zeros((1, 3), np.float32), f"{name}w")
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3])
        graph = helper.make_graph([helper.make_node("Identity", [f"{name}w"], [name])], name, [], [out], [w])
        graph.initializer[0].ClearField("raw_data")
        graph.initializer[0].data_location = TensorProto.EXTERNAL
        graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
        return graph

    model = onnx.load(graph_of(tmp_path / "m.onnx"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(helper.make_node("If", ["yes"], ["b"], then_branch=branch("t"), else_branch=branch("e")))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert "'/etc/passwd' outside its folder" in sentence(tmp_path / "m.onnx")


def test_too_large_a_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(suspects, "LARGEST", 1000)
    assert "more than an ONNX file can have (1,000)" in sentence(graph_of(tmp_path / "m.onnx"))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".ckpt"])
def test_pickles_are_refused_unopened(tmp_path, suffix):
    class Boom:
        def __reduce__(self):
            return (exec, ("raise SystemExit('the pickle ran')",))

    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Boom()))
    assert "ONNX" in sentence(path)


def test_other_files_are_named(tmp_path):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "a.safetensors").write_text("")
    assert "is no model" in sentence(tmp_path / "a.txt")
    assert "without their network" in sentence(tmp_path / "a.safetensors")
    assert "there is no file" in sentence(tmp_path / "nothing.onnx")
    assert "no model.json" in sentence(tmp_path)


MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.9)
        self.linear = nn.Linear(192, 3)
        with torch.no_grad():
            self.linear.weight.copy_(torch.arange(576).view(3, 192) % 7 - 3.0)

    def forward(self, x):
        return self.linear(self.drop(x.flatten(1)))

net = Net()

def make():
    return Net()

def service(x):
    return make().eval()(x).softmax(1).tolist()

def sigmoids(x):
    return net(x).sigmoid()

def broken(x):
    return net(x) * float("nan")

def changing(x):
    return net(x).softmax(1) * (1.0 if len(x) == 8 else 0.5)

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "stranger_net.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return {"allow_code": True, "size": 8, "classes": CLASSES, "mean": [0.5] * 3, "std": [0.5] * 3}


def test_code_runs_only_where_it_is_allowed(module, tmp_path):
    assert "--allow-code" in sentence("stranger_net:make")
    assert not (tmp_path / "__pycache__").exists()
    x = pixels(side=8)
    answers = {}
    for name in ("net", "Net", "make", "service"):
        suspect = suspects.load(f"stranger_net:{name}", **module)
        assert (suspect.kind, suspect.channels, suspect.probabilities) == ("code", 3, name == "service")
        answers[name] = suspect.log_probabilities(x)
    for name in ("Net", "make"):
        assert np.abs(answers[name] - answers["net"]).max() < 1  # biases are drawn anew
    assert suspects.load("stranger_net:net", **module).sha256 == suspects.load("stranger_net:net", **module).sha256
    assert "--size" in sentence("stranger_net:net", **module | {"size": None})
    assert "--classes" in sentence("stranger_net:net", **module | {"classes": None})
    assert "'int'" in sentence("stranger_net:number", **module)
    assert "no attribute 'nothing'" in sentence("stranger_net:nothing", **module)


def test_answers_that_are_neither_logits_nor_probabilities_are_refused(module):
    assert "do not sum to 1" in sentence("stranger_net:sigmoids", **module)
    assert "not finite" in sentence("stranger_net:broken", **module)
    suspect = suspects.load("stranger_net:changing", **module)
    with pytest.raises(UserError, match="probabilities at first"):
        suspect.log_probabilities(pixels())


def test_labels_alone_are_one_hot_once_the_rows_mean_is_taken_off(tmp_path, module):
    path = graph_of(tmp_path / "m.onnx")
    x = pixels(n=20)
    full, labels = (suspects.load(path, labels_only=only).log_probabilities(x) for only in (False, True))
    assert (labels.argmax(1) == full.argmax(1)).all()
    centred = labels - labels.mean(1, keepdims=True)
    np.testing.assert_allclose(centred, np.eye(3)[full.argmax(1)] - 1 / 3)
    assert suspects.load("stranger_net:sigmoids", **module, labels_only=True).labels_only


def test_a_probability_of_nothing_stays_finite(tmp_path):
    path = graph_of(tmp_path / "m.onnx", last="Softmax")
    suspect = suspects.load(path, input_range=(0.0, 255.0))
    got = suspect.log_probabilities(pixels())
    assert got.min() == pytest.approx(np.log(1e-12))


def test_classes_are_matched_by_name():
    def match(a, b):
        return [c.tolist() for c in suspects.common_classes(a, b)]

    assert match(["a", "b", "c"], ["c", "x", "a"]) == [[0, 2], [2, 0]]
    assert match(["Polar Bear", "sun"], ["sun", "polar_bear"]) == [[0, 1], [1, 0]]
    # an exact name goes first, and two that cannot be told apart are left out
    assert match(["Sun", "sun", "tree"], ["sun", "tree"]) == [[1, 2], [0, 1]]
    assert match(["sun", "Sun"], ["sun", "SUN"]) == [[0, 1], [0, 1]]
    assert match(["big sun", "Big-Sun", "tree"], ["BIGSUN", "tree"]) == [[2], [1]]
    with pytest.raises(UserError, match="no classes in common: yours are 'a', 'b', 'c' and 1 more, the suspect's 'x'"):
        suspects.common_classes(["a", "b", "c", "d"], ["x"])
