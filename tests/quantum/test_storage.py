"""Tensors as files: the same circuits come back, nothing is pickled or evaluated, and what is no such file is said."""

import json
import runpy
import zipfile
from pathlib import Path

import cirq
import numpy as np
import pytest
import sympy
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edubba import quantum as q
from edubba.core import files
from edubba.core.errors import UserError

OLD = Path(__file__).parents[1] / "data" / "quantum-tensor-1"
a, b, c = cirq.LineQubit.range(3)
s, t2, t10 = sympy.symbols("s t2 t10")


@pytest.mark.parametrize("name", ["circuits", "noisy", "observables"])
def test_a_file_of_the_first_format_gives_what_was_saved(name):
    # written once by tests/data/quantum-tensor-1/make.py, edubba 0.1.0.dev0, cirq-core 1.7.0
    wanted = q.convert_to_tensor(runpy.run_path(str(OLD / "make.py"))[name]())
    found = q.load(OLD / f"{name}.npz")
    assert found.shape == wanted.shape
    assert q.from_tensor(found) == q.from_tensor(wanted)
    if name == "circuits":
        assert found.symbols == ("t2", "t10", "u")
        assert {*found.structures} == {*wanted.structures}


def test_every_gate_comes_back(build, tmp_path):
    qubits = cirq.LineQubit.range(6)
    tensor = q.convert_to_tensor([cirq.Circuit(g.on(*qubits[: cirq.num_qubits(g)])) for g in build.every_gate()])
    found = q.load(q.save(tmp_path / "gates.npz", tensor))
    assert q.from_tensor(found) == q.from_tensor(tensor)
    assert found.structures == tensor.structures
    torch.testing.assert_close(found.numbers, tensor.numbers, rtol=0, atol=0)


numbers = st.one_of(
    st.integers(-50, 50).map(sympy.Integer), st.fractions(max_denominator=99).map(sympy.Rational), st.sampled_from([sympy.pi, sympy.E]),
    st.floats(-1e300, 1e300).map(sympy.Float), st.floats(0.1, 1).map(lambda x: sympy.Float(x, 40) / 3),
)  # fmt: skip
symbols = st.sampled_from([s, t2, t10, sympy.Symbol("angle of q(0)"), sympy.Symbol("u", real=True), sympy.Symbol("ü")])
expressions = st.recursive(
    st.one_of(numbers, symbols),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]), st.tuples(inner, inner).map(lambda pair: pair[0] * pair[1]),
        st.tuples(inner, inner).map(lambda pair: sympy.Mul(*pair, evaluate=False)),
        st.tuples(symbols, st.sampled_from([2, 3, -1, sympy.Rational(1, 2)])).map(lambda pair: pair[0] ** pair[1]),
        st.tuples(st.sampled_from([sympy.sin, sympy.cos, sympy.exp, sympy.tanh, sympy.Abs, sympy.log]), symbols).map(lambda pair: pair[0](pair[1])),
    ),
    max_leaves=6,
).filter(lambda e: e.free_symbols and not e.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I))  # fmt: skip
exponents = st.one_of(st.floats(-1e6, 1e6), expressions)
qubits_ = st.lists(
    st.one_of(
        st.integers(-5, 50).map(cirq.LineQubit), st.builds(cirq.GridQubit, st.integers(-3, 9), st.integers(-3, 9)), st.text(max_size=5).map(cirq.NamedQubit),
        st.sampled_from([cirq.LineQid(100, 2), cirq.NamedQid("level", 2)]),
    ), min_size=2, max_size=5, unique=True,
)  # fmt: skip


@st.composite
def circuit(draw):
    on = draw(qubits_)
    made = cirq.Circuit()
    for _ in range(draw(st.integers(0, 6))):
        first, second = draw(st.permutations(on))[:2]
        x, y = draw(exponents), draw(exponents)
        made.append(draw(st.sampled_from([
            cirq.X(first) ** x, cirq.rz(x)(second), cirq.CNOT(first, second) ** x, cirq.FSimGate(x, y)(first, second),
            cirq.ZZPowGate(exponent=x, global_shift=0.25)(first, second), cirq.ry(y)(first).controlled_by(second, control_values=[0]),
            cirq.PauliStringPhasor(cirq.X(first) * cirq.Y(second), exponent_neg=x, exponent_pos=y), cirq.H(first),
        ])), strategy=draw(st.sampled_from([cirq.InsertStrategy.EARLIEST, cirq.InsertStrategy.NEW])))  # fmt: skip
    return made


@settings(max_examples=40)
@given(st.lists(circuit(), min_size=1, max_size=4))
@example([cirq.Circuit(cirq.X(cirq.LineQubit(0)) ** sympy.Mul(sympy.Float(0), s, evaluate=False))])
def test_circuits_with_expressions_come_back_exactly(tmp_path_factory, made):
    tensor = q.convert_to_tensor([made])
    path = tmp_path_factory.mktemp("saved") / "tensor.npz"
    found = q.load(q.save(path, tensor))
    assert found.shape == (1, len(made))
    assert q.from_tensor(found) == q.from_tensor(tensor)
    assert found.symbols == tensor.symbols
    assert {*found.structures} == {*tensor.structures}
    before = path.read_bytes()
    assert q.save(path, found).read_bytes() == before


@settings(max_examples=25)
@given(qubits_, st.data())
def test_observables_come_back_exactly(tmp_path_factory, on, data):
    letters = st.dictionaries(st.sampled_from(on), st.sampled_from([cirq.X, cirq.Y, cirq.Z]))
    strings = st.builds(cirq.PauliString, letters, coefficient=st.floats(-1e9, 1e9).filter(lambda x: abs(x) > 1e-9))
    sums = data.draw(
        st.lists(st.lists(strings, max_size=4).map(cirq.PauliSum.from_pauli_strings), min_size=1, max_size=4)
    )
    tensor = q.convert_to_tensor(sums)
    found = q.load(q.save(tmp_path_factory.mktemp("saved") / "tensor.npz", tensor))
    assert found.sums == tensor.sums
    assert q.from_tensor(found) == q.from_tensor(tensor)


def test_only_what_is_used_is_written(tmp_path):
    many = q.convert_to_tensor([cirq.Circuit(cirq.rx(0.01 * i)(a), cirq.X(b) if i % 2 else []) for i in range(1000)])
    for part in (many[:0], many[7], many[[5, 3, 3, 4]], many[10:14].reshape(2, 2)):
        path = q.save(tmp_path / "part.npz", part)
        found = q.load(path)
        assert found.shape == part.shape
        assert q.from_tensor(found) == q.from_tensor(part)
        assert path.stat().st_size < 2500


def test_what_is_loaded_is_simulated_alike(build, tmp_path):
    circuit, qubits, inputs, weights = build.hardware_efficient(4, 2)
    circuits, sums = q.convert_to_tensor(circuit), q.convert_to_tensor([cirq.Z(qubit) + 0.3 for qubit in qubits])
    values = torch.rand(3, len(inputs) + len(weights))
    found, wanted = (
        q.Expectation()(c, symbol_names=[*inputs, *weights], symbol_values=values, operators=o)
        for c, o in [
            (q.load(q.save(tmp_path / "c.npz", circuits)), q.load(q.save(tmp_path / "o.npz", sums))),
            (circuits, sums),
        ]
    )
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_nothing_is_pickled(tmp_path):
    path = q.save(tmp_path / "c.npz", q.convert_to_tensor([cirq.Circuit(cirq.X(a) ** (2 * s)), cirq.Circuit()]))
    with np.load(path, allow_pickle=False) as data:
        assert set(data.files) == {"document", "index", "row", "numbers"}
        assert [data[name].dtype.kind for name in ("document", "index", "row", "numbers")] == ["u", "i", "i", "f"]
        document = json.loads(data["document"].tobytes())
    assert document["format"] == "edubba.quantum.tensor/1"
    assert document["expressions"] == [["*", 2, ["symbol", "s"]]]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = q.save(tmp_path / "c.npz", q.convert_to_tensor(cirq.Circuit(cirq.X(a))))
    before = path.read_bytes()
    with pytest.raises(UserError, match="cannot be stored"):
        q.save(path, q.convert_to_tensor(cirq.Circuit(cirq.X(a) ** sympy.Function("f")(s))))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# ---- what users get wrong


class Ion(cirq.NamedQubit):
    """A qubit of somebody's own class."""


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (cirq.Circuit(cirq.X(a) ** sympy.Function("f")(s)), r"f\(s\) cannot be stored: expressions are made of symbols"),
        (cirq.Circuit(cirq.X(a) ** sympy.Dummy("d")), "_d cannot be stored"),
        (cirq.Circuit(cirq.X(a) ** (s * sympy.GoldenRatio)), "GoldenRatio cannot be stored"),
        (cirq.Circuit(cirq.X(Ion("one"))), "of a class that Cirq cannot write and read"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved(tmp_path, made, words):
    with pytest.raises(UserError, match=words):
        q.save(tmp_path / "c.npz", q.convert_to_tensor(made))


def rewritten(path, **changed):
    """A file of the format with parts of its document, or whole arrays, replaced."""
    circuits = [cirq.Circuit(cirq.X(a) ** s, cirq.CNOT(a, b) ** 0.5), cirq.Circuit(cirq.rx(t2**2)(c))]
    with np.load(q.save(path, q.convert_to_tensor(circuits))) as data:
        arrays = {name: data[name] for name in data.files}
    document = json.loads(arrays["document"].tobytes())
    first = document["structures"][0]
    for name, value in changed.items():
        if name in arrays:
            arrays[name] = value
        elif name in first:
            first[name] = value
        else:
            document[name] = value
    if "document" not in changed:
        arrays["document"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    return files.write_npz(path, arrays)


def test_a_file_rewritten_as_it_was_is_read(tmp_path):
    assert q.load(rewritten(tmp_path / "c.npz")).shape == (2,)


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "edubba.quantum.tensor/2"}, {"kind": "pictures"}, {"shape": [3]}, {"shape": 2}, {"qubits": []},
        {"qubits": [["line", 0], ["line", "1"], ["line", 2]]}, {"qubits": [["line", 0], ["line", 0], ["line", 2]]},
        {"qubits": [["cirq", '{"cirq_type": "LineQid", "x": 1, "dimension": 3}']] * 3}, {"qubits": [["ring", 0]] * 3},
        {"qubits": [["cirq", '{"cirq_type": "NoSuchQubit"}']] * 3}, {"gates": []}, {"gates": [["NoGate", 0.0]] * 3},
        {"gates": [["MatrixGate", [[1.0, 0.0], [0.0, 2.0]]]] * 3}, {"gates": [["Controlled", 1]] * 3}, {"gates": [["XPowGate", 0.0]] * 3},
        {"expressions": [["symbol", "s"]]}, {"expressions": [["__import__", "os"], ["symbol", "s"]]}, {"expressions": ["s", "s"]},
        {"expressions": [["symbol", 3], 3]}, {"expressions": [["rational", 1.5, 2], 3]}, {"expressions": [["float", 0.5], 3]},
        {"rows": 2}, {"columns": 0}, {"operations": [0, 5]}, {"operations": [0]}, {"on": [0, 0, 0]}, {"on": [0, 0, 9]},
        {"on": [0, 1]}, {"parameters": [-1, -1]}, {"parameters": [0]}, {"parameters": [0, -1, 0]}, {"parameters": [3, -1]}, {"moments": [1, 0]}, {"moments": [0]},
        {"index": np.array([0, 5])}, {"index": np.zeros((2, 1), np.int64)}, {"row": np.array([0, 5])}, {"row": np.array([0.0, 0.0])},
        {"numbers": np.zeros(7)}, {"numbers": np.zeros(1, np.float32)}, {"numbers": np.zeros((1, 1))}, {"document": np.zeros(3)},
        {"document": np.frombuffer(b"[" * 100_000, np.uint8)}, {"document": np.frombuffer(b"[1]", np.uint8)},
    ],
    ids=str,
)  # fmt: skip
def test_what_has_been_changed_is_refused_in_a_sentence(tmp_path, changed):
    path = rewritten(tmp_path / "c.npz", **changed)
    with pytest.raises(UserError, match=r"c\.npz (is|has)"):
        q.load(path)


def test_what_is_no_such_file_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"no file .*there\.npz"):
        q.load(tmp_path / "there.npz")
    np.savez(tmp_path / "pickled.npz", document=np.array([{}], object))
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    np.save(tmp_path / "single.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("circuits")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("document", "{}")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(UserError, match=r"no file of edubba\.quantum\.save"):
            q.load(path)
    with pytest.raises(
        UserError, match=r"'edubba\.quantum\.tensor/9', and this edubba reads edubba\.quantum\.tensor/1"
    ):
        q.load(rewritten(tmp_path / "new.npz", format="edubba.quantum.tensor/9"))


def test_a_damaged_byte_is_noticed(tmp_path):
    path = q.save(tmp_path / "c.npz", q.convert_to_tensor([cirq.Circuit(cirq.rx(0.1 * i)(a)) for i in range(50)]))
    whole = path.read_bytes()
    wanted = q.from_tensor(q.load(path))
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        try:
            found = q.from_tensor(q.load(path))
        except UserError:
            continue
        assert found == wanted, at  # a date or a flag that nobody reads
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        q.load(path)
