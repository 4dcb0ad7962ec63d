"""The compiled kernels against plain torch, in every way in which they can lay out a state."""

import hashlib
from pathlib import Path

import cirq
import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba import quantum as q
from edubba.core.errors import UserError
from edubba.quantum import circuits as circuits_
from edubba.quantum import engine, gates, kernels, plans, simulation

LOOPS = [Path(kernels.__file__).with_name(name) for name in ("diagonals.py", "lanes.py", "rotations.py")]
QUBITS = cirq.LineQubit.range(9)
S = sympy.symbols("s0:6")
DOUBLE = {"dtype": torch.float64}


def mixed(rng, n, count=24):
    """Gates of all kinds that the kernels tell apart, some with symbols, some constant."""
    ops = [cirq.ry(S[i % 6])(QUBITS[i]) for i in range(n)]
    for _ in range(count):
        s = S[rng.integers(6)] * float(rng.choice([1, -0.5])) + float(rng.choice([0, 0.3]))
        gate = [
            cirq.rx(s), cirq.ry(s), cirq.rz(s), cirq.X**s, cirq.H, cirq.T, cirq.X, cirq.Y**s, cirq.PhasedXPowGate(phase_exponent=0.2, exponent=s),
            cirq.CX, cirq.CX, cirq.CZ, cirq.CZ**s, cirq.CX**s, cirq.ZZ**s, cirq.XX**s, cirq.YY**0.4, cirq.SWAP, cirq.ISWAP**s,
            cirq.FSimGate(0.4, s), cirq.ControlledGate(cirq.ry(s), control_values=[0]), cirq.ControlledGate(cirq.X, control_values=[0]),
            cirq.CCX, cirq.CCZ**s, cirq.CSWAP, cirq.PauliStringPhasorGate(cirq.DensePauliString("XYZ"), exponent_neg=s),
            cirq.PauliStringPhasorGate(cirq.DensePauliString("ZZZ"), exponent_neg=s),
        ][rng.integers(27)]  # fmt: skip
        if cirq.num_qubits(gate) <= n:
            ops.append(gate.on(*(QUBITS[i] for i in rng.permutation(n)[: cirq.num_qubits(gate)])))
    return cirq.Circuit(ops)


def some_operators(n):
    a, b, c = QUBITS[0], QUBITS[n // 2], QUBITS[n - 1]
    return [
        cirq.Z(c) * 1.0,
        0.5 * cirq.X(a) * cirq.Y(c) - cirq.Z(a) * cirq.Z(b) + 0.25,
        cirq.Y(b) * 1.0,
        cirq.Z(a) * 1.0,
    ]


def value_and_gradient(circuit, values, operators, g, differentiator, **settings):
    values = values.clone().requires_grad_()
    layer = q.Expectation(differentiator=differentiator, **settings)
    found = layer(circuit, symbol_names=S, symbol_values=values, operators=operators)
    (found * g).sum().backward()
    return found.detach(), values.grad


@pytest.fixture
def laid_out(monkeypatch):
    """Sets constants of the engine; what was planned with others is forgotten."""

    def lay_out(**constants):
        for name, value in constants.items():
            monkeypatch.setattr(engine if hasattr(engine, name) else plans, name, value)
        plans.plan.cache_clear()
        plans.wired.cache_clear()

    yield lay_out
    plans.plan.cache_clear()
    plans.wired.cache_clear()


@pytest.mark.parametrize("n", [2, 4, 9])
@pytest.mark.parametrize(
    "constants",
    [
        {},
        {"ROWS": 0},
        {"ROWS": 99},
        {"ROWS": 0, "TILE": 4, "WHOLE": 0},
        {"ROWS": 0, "TILE": 6, "WHOLE": 0},
        {"ROWS": 99, "TILE": 7, "WHOLE": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_layouts_agree_with_plain_torch(laid_out, n, constants, dtype):
    laid_out(**constants)
    rng = np.random.default_rng(n)
    circuit, operators = mixed(rng, n), some_operators(n)
    values, g = torch.tensor(rng.uniform(-3, 3, (19, 6))), torch.tensor(rng.standard_normal((19, 4)))
    wanted = value_and_gradient(circuit, values, operators, g, q.Backprop(), qubits=QUBITS[:n], **DOUBLE)
    found = value_and_gradient(circuit, values.to(dtype), operators, g.to(dtype), None, qubits=QUBITS[:n], dtype=dtype)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11 if dtype == torch.float64 else 3e-5, rtol=0)


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_random_circuits_agree_with_plain_torch(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    circuit = mixed(rng, n, count=int(rng.integers(0, 60)))
    values, g = torch.tensor(rng.uniform(-3, 3, (3, 6))), torch.tensor(rng.standard_normal((3, 4)))
    found, wanted = (
        value_and_gradient(circuit, values, some_operators(n), g, rule, qubits=QUBITS[:n], **DOUBLE)
        for rule in (None, q.Backprop())
    )
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11, rtol=0)


def test_strings_wider_than_a_tile(laid_out):
    laid_out(ROWS=0, TILE=6, WHOLE=0)
    string = cirq.DensePauliString("XYXXYZXXX")
    wide = cirq.PauliStringPhasorGate(string, exponent_neg=S[0]).on(*QUBITS)
    circuit = cirq.Circuit(cirq.ry(S[1] + 0.1 * i)(qubit) for i, qubit in enumerate(QUBITS)) + wide
    circuit += cirq.Circuit(cirq.rx(S[2])(QUBITS[4]), wide)
    values, g = torch.rand(2, 6, dtype=torch.float64), torch.ones(2, 4)
    found, wanted = (
        value_and_gradient(circuit, values, some_operators(9), g, rule, **DOUBLE) for rule in (None, q.Backprop())
    )
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_threads_change_nothing(laid_out, build):
    laid_out(WORK=1)
    circuit, qubits, x, _ = build.hardware_efficient(5, 2)
    values = torch.rand(100, len(x), dtype=torch.float64)
    layer = q.PQC(circuit, [cirq.Z(qubit) for qubit in qubits], inputs=x, **DOUBLE)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            own = values.clone().requires_grad_()
            y = layer(own)
            (y * torch.arange(5)).sum().backward()
            found.append((y.detach(), own.grad, layer.weight.grad.clone()))
            layer.zero_grad()
    finally:
        torch.set_num_threads(before)
    assert engine.pools.keys() >= {2, 3}
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


def test_a_second_backward_gives_the_same(build):
    circuit, qubits, x, _ = build.hardware_efficient(4, 2)
    layer = q.PQC(circuit, [cirq.Z(qubit) for qubit in qubits], inputs=x, **DOUBLE)
    values = torch.rand(20, len(x), dtype=torch.float64, requires_grad=True)
    y = layer(values).square().sum()
    layer(torch.rand(20, len(x), dtype=torch.float64)).sum().backward()  # takes and gives back arrays in between
    first = torch.autograd.grad(y, [values, layer.weight], retain_graph=True)
    layer(torch.rand(20, len(x), dtype=torch.float64)).sum().backward()
    again = torch.autograd.grad(y, [values, layer.weight])
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)


def planned(circuit, operators, n, values):
    """The plan of a layer's only structure."""
    tensor = q.convert_to_tensor([circuit])
    q.Expectation(qubits=QUBITS[:n])(tensor, symbol_names=S, symbol_values=values, operators=operators)
    ((_, _, task),) = next(v for k, v in tensor.kept.items() if k and k[0] == "compiled").parts
    return task.bound(len(values)).plan


def test_what_no_observable_sees_falls_away():
    a, b, c = QUBITS[:3]
    seen = cirq.Circuit(cirq.rx(S[0])(a), cirq.CX(a, b), cirq.ry(S[1])(b))
    more = seen + cirq.Circuit(cirq.rz(S[2])(b), cirq.XX(a, c) ** S[3], cirq.CZ(b, c) ** S[4], cirq.CX(c, a))
    values = torch.rand(4, 6)
    short, long = (planned(circuit, [cirq.Z(b)], 3, values) for circuit in (seen, more))
    assert len(short.slots) == len(long.slots) == 2
    assert len(planned(more, [cirq.X(b)], 3, values).slots) > 3  # X sees the phases, and through them c


def test_a_layer_of_rotations_is_one_pass_for_each_axis(build):
    circuit, qubits, x, w = build.hardware_efficient(8, 3)
    names = [*x, *w]
    tensor = q.convert_to_tensor([circuit])
    layer = q.Expectation(qubits=qubits)
    layer(tensor, symbol_names=names, symbol_values=torch.rand(1, len(names)), operators=[cirq.Z(qubits[0])])
    ((_, _, task),) = next(v for k, v in tensor.kept.items() if k and k[0] == "compiled").parts
    plan = task.bound(1).plan
    kinds = plan.code[:, 0].tolist()
    assert kinds.count(kernels.ROTATE) == 16  # RY of two layers; RX and the first layer are the product state
    assert kinds.count(kernels.PHASE) == 1  # RZ of the second layer; no Z observable sees the last
    assert kinds.count(kernels.TURN) == 0
    assert len(plan.permutations) == 2  # the ring, three times the same, and its inverse


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_permutations_of_linear_moves_are_those_of_any_moves(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    moves = []
    for _ in range(int(rng.integers(1, 12))):
        target, control = rng.permutation(n)[:2]
        moves.append((1 << int(target), 1 << int(control), int(rng.integers(2)) << int(control)))
    index = np.arange(1 << n)
    slow = index
    for x, controls, values in moves:
        slow = slow[np.where((index & controls) == values, index ^ x, index)]
    assert plans._permutation(moves, n).tolist() == slow.tolist()


# ---- one structure for many circuits


def encoded(bits):
    return cirq.Circuit(cirq.X(qubit) for qubit, bit in zip(QUBITS, bits, strict=False) if bit)


def test_encodings_by_x_gates_are_one_structure():
    rng = np.random.default_rng(0)
    bits = rng.random((32, 6)) < 0.4
    model = cirq.Circuit(cirq.XX(QUBITS[i], QUBITS[6]) ** S[i] for i in range(6)) + cirq.H(QUBITS[6])
    tensor = q.convert_to_tensor([encoded(row) for row in bits])
    assert len(tensor.structures) > 20
    own, wanted = (q.PQC(model, cirq.Z(QUBITS[6]), differentiator=rule, **DOUBLE) for rule in (None, q.Backprop()))
    wanted.load_state_dict(own.state_dict())
    a, b = own(tensor), wanted(tensor)
    np.testing.assert_allclose(a.detach(), b.detach(), atol=1e-12)
    (x,), (y,) = (torch.autograd.grad(v.square().sum(), layer.weight) for v, layer in ((a, own), (b, wanted)))
    np.testing.assert_allclose(x, y, atol=1e-12)
    (_, whole) = tensor.kept[id(own.model)]
    assert len(whole.structures) == 1
    assert len(q.convert_to_tensor([encoded(row) for row in bits])[3:9].structures) > 20  # what was given stays


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_aligned_circuits_are_the_same_circuits(seed):
    rng = np.random.default_rng(seed)
    pool = [
        cirq.X(QUBITS[0]), cirq.H(QUBITS[1]), cirq.CX(QUBITS[0], QUBITS[1]), cirq.rx(0.7)(QUBITS[1]), cirq.I(QUBITS[0]),
        cirq.ry(S[0])(QUBITS[0]), cirq.CZ(QUBITS[0], QUBITS[1]) ** 0.3, cirq.rz(2 * S[1])(QUBITS[1]), cirq.SWAP(*QUBITS[:2]),
        cirq.FSimGate(0.2, 0.4)(QUBITS[1], QUBITS[0]), cirq.CSWAP(*QUBITS[:3]), cirq.Y(QUBITS[2]) ** 0.5,
    ]  # fmt: skip
    tensor = q.convert_to_tensor(
        [cirq.Circuit(pool[i] for i in rng.integers(len(pool), size=rng.integers(0, 9))) for _ in range(6)]
    )
    found = circuits_.aligned(tensor[rng.permutation(6)[:4]])
    assert len(found.structures) <= len(tensor.structures)
    resolver = {"s0": 0.3, "s1": -0.8}
    for a, b in zip(q.from_tensor(circuits_.aligned(tensor)), q.from_tensor(tensor), strict=True):
        u, v = (
            cirq.resolve_parameters(c, resolver).unitary(
                qubit_order=QUBITS[:3], qubits_that_should_be_present=QUBITS[:3]
            )
            for c in (a, b)
        )
        np.testing.assert_allclose(u, v, atol=1e-12)


def test_gates_are_the_identity_where_their_numbers_are_0():
    for i, family in enumerate(gates.FAMILIES):
        if family.fields:
            rest = {25: ("XYZ", 1.0)}.get(i, None if family.cls in (cirq.Rx, cirq.Ry, cirq.Rz, cirq.MSGate) else 0.3)
            if family.cls in (cirq.PhasedXZGate, cirq.FSimGate):
                rest = None
            if i == 25:
                rest = gates.describe(cirq.PauliStringPhasorGate(cirq.DensePauliString("XYZ"), exponent_neg=0.2))[1]
            u = cirq.unitary(family.make(rest, *[0.0] * len(family.fields)))
            np.testing.assert_allclose(u, np.eye(len(u)), atol=1e-12, err_msg=family.cls.__name__)


def test_what_cannot_be_brought_together_stays_apart():
    a, b = QUBITS[:2]
    matrix = cirq.MatrixGate(cirq.unitary(cirq.H))
    apart = [cirq.Circuit(cirq.X(a)), cirq.Circuit(cirq.X(b)), cirq.Circuit(matrix(a)), cirq.Circuit(cirq.rx(S[0])(a))]
    assert len(circuits_.aligned(q.convert_to_tensor(apart)).structures) == 4
    assert len(circuits_.aligned(q.convert_to_tensor(apart), frozenset([a, b])).structures) == 3  # the two X
    long = [cirq.Circuit([cirq.X(a), cirq.H(a)] * k) for k in (1, 40)]
    assert len(circuits_.aligned(q.convert_to_tensor(long)).structures) == 1
    other = [cirq.Circuit([cirq.X(a)] * 20), cirq.Circuit([cirq.Y(a)] * 20)]
    assert len(circuits_.aligned(q.convert_to_tensor(other)).structures) == 2  # twice as long as either


def test_numbers_keep_their_gradient_through_a_common_structure():
    a, b = QUBITS[:2]
    symbolic = [
        cirq.Circuit(cirq.rx(S[0])(a), cirq.CX(a, b)),
        cirq.Circuit(cirq.CX(a, b), cirq.ry(S[0])(b), cirq.X(a) ** 0.2),
    ]
    values = torch.tensor([[0.4], [1.1]], dtype=torch.float64, requires_grad=True)
    found = []
    for rule in (None, q.Backprop()):
        filled = q.resolve_parameters(q.convert_to_tensor(symbolic), [S[0]], values)
        y = q.Expectation(differentiator=rule, **DOUBLE)(filled, operators=[cirq.Z(a) * cirq.Z(b), cirq.Z(b)])
        found.append((y.detach(), *torch.autograd.grad(y.sum(), values)))
    for x, y in zip(*found, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-12)
    assert bool((found[0][1] != 0).all())


def test_matrices_and_other_circuits_in_one_batch():
    a, b = QUBITS[:2]
    two = [
        cirq.Circuit(cirq.MatrixGate(cirq.unitary(cirq.T**0.3))(a), cirq.ry(S[0])(a), cirq.CX(a, b)),
        cirq.Circuit(cirq.ry(S[0])(a), cirq.CX(b, a)),
    ]
    values = torch.tensor([[0.4], [1.1]], dtype=torch.float64, requires_grad=True)
    layers = [q.Expectation(differentiator=rule, **DOUBLE) for rule in (None, q.Backprop())]
    y, z = (layer(two, symbol_names=[S[0]], symbol_values=values, operators=[cirq.Z(a), cirq.X(b)]) for layer in layers)
    np.testing.assert_allclose(y.detach(), z.detach(), atol=1e-12)
    (g,), (h,) = (torch.autograd.grad(v.sum(), values) for v in (y, z))
    np.testing.assert_allclose(g, h, atol=1e-12)


@pytest.mark.parametrize(
    ("expression", "words"),
    [(1 / S[0], "an expression of the circuits is inf in row 1"), (sympy.log(S[0]), "is -inf in row 1")],
)
def test_expressions_that_are_no_number(expression, words):
    circuit = cirq.Circuit(cirq.X(QUBITS[0]) ** expression)
    with pytest.raises(UserError, match=words):
        q.Expectation()(
            circuit, symbol_names=[S[0]], symbol_values=torch.tensor([[1.0], [0.0]]), operators=cirq.Z(QUBITS[0])
        )


def test_samples_that_do_not_fit_into_memory_at_once_go_in_parts(monkeypatch, build):
    circuit, qubits, x, _ = build.hardware_efficient(4, 1)
    layer = q.PQC(circuit, [cirq.Z(qubits[0])], inputs=x, **DOUBLE)
    values = torch.rand(11, 4, dtype=torch.float64)
    whole = layer(values)
    monkeypatch.setattr(simulation, "LARGE", 0)
    monkeypatch.setattr(simulation, "chunk", lambda n, b, dtype, copies=4: 3)
    parts = layer(values)
    np.testing.assert_allclose(whole.detach(), parts.detach(), atol=1e-12)
    (a,), (b,) = (torch.autograd.grad(v.square().sum(), layer.weight) for v in (whole, parts))
    np.testing.assert_allclose(a, b, atol=1e-12)


def test_what_was_compiled_before_is_compiled_anew_where_loops_have_changed():
    built_on = hashlib.sha256(b"".join(path.read_bytes() for path in LOOPS)).hexdigest()[:16]
    assert built_on == kernels.BUILT_ON, "write this into kernels.py"


def test_a_weight_that_has_changed_since_is_refused(build):
    circuit, qubits, x, _ = build.hardware_efficient(3, 1)
    layer = q.PQC(circuit, [cirq.Z(qubits[0])], inputs=x)
    found = layer(torch.rand(2, 3))
    with torch.no_grad():
        layer.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.sum().backward()


def test_scratch_of_sizes_that_do_not_come_again_is_let_go(monkeypatch, build):
    monkeypatch.setattr(engine, "spaces", {})
    monkeypatch.setattr(engine, "MOST", 1 << 20)
    circuit, qubits, x, _ = build.hardware_efficient(6, 1)
    layer = q.PQC(circuit, [cirq.Z(qubits[0])], inputs=x)
    for b in range(1, 400, 7):
        layer(torch.rand(b, 6)).sum().backward()
        assert sum(array.nbytes for free in engine.spaces.values() for array in free) < 2 << 20


@pytest.mark.parametrize("rows", [0, 99])
def test_two_strings_in_one_pass_whatever_bits_they_share(laid_out, rows):
    laid_out(ROWS=rows)
    n, ends = 9, [(1, 4), (0, 8), (2, 3), (5, 8)]
    ops = [cirq.ry(S[i % 6] + 0.1 * i)(qubit) for i, qubit in enumerate(QUBITS[:n])]
    for one, other in [
        ((0, 3), (0, 4)),
        ((0, 1), (0, 4)),
        ((0, 2), (2, 4)),
        ((1, 2), (0, 3)),
        *((ends[i], ends[i - 1]) for i in range(4)),
    ]:
        for k, on in enumerate((one, other)):
            ops.append((cirq.XX if k else cirq.YY)(*(QUBITS[i] for i in on)) ** (S[k] + 0.3))
        ops.append(cirq.rx(S[2])(QUBITS[0]))
    values, g = torch.rand(19, 6, dtype=torch.float64), torch.ones(19, 4)
    found, wanted = (
        value_and_gradient(cirq.Circuit(ops), values, some_operators(n), g, rule, **DOUBLE)
        for rule in (None, q.Backprop())
    )
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)


def test_a_diagonal_that_differs_from_tile_to_tile(laid_out):
    laid_out(ROWS=0, TILE=6, WHOLE=0)
    pairs = [(0, 8), (1, 7), (2, 5), (0, 1)]  # within a tile, outside, and across
    ops = [cirq.ry(S[i % 6] + 0.1 * i)(qubit) for i, qubit in enumerate(QUBITS)]
    ops += [cirq.ZZ(QUBITS[i], QUBITS[j]) ** (S[k] + 0.2) for k, (i, j) in enumerate(pairs)]
    ops += [cirq.rx(S[5])(qubit) for qubit in QUBITS]
    values, g = torch.rand(2, 6, dtype=torch.float64), torch.ones(2, 4)
    found, wanted = (
        value_and_gradient(cirq.Circuit(ops), values, some_operators(9), g, rule, **DOUBLE)
        for rule in (None, q.Backprop())
    )
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)
