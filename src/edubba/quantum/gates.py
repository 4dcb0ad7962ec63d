"""Gates of Cirq, each a product of powers of Pauli strings on a subspace of control values.

P**t has eigenvalue 1 where P has 1 and exp(i pi t) where P has -1, as in Cirq. Every gate here is such powers, with the
phases that matter under controls, except matrices; so that one rule simulates and differentiates all of them. Channels
are gates too, whose parameters are constants.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import cirq
import numpy as np
import sympy

from edubba.core.errors import UserError

Number = Any
"""a float, or a sympy expression of symbols"""


class Exponent(NamedTuple):
    """A linear form of a gate's parameters: constant + sum of factor * parameter[field]."""

    constant: float
    terms: tuple[tuple[int, float], ...] = ()


class Power(NamedTuple):
    """exp(i pi shift t) P**t where the controls have their values, the identity elsewhere."""

    pauli: tuple[tuple[int, str], ...]
    """(place of the qubit, X, Y or Z); empty: P = sign, so that t is a phase"""
    t: Exponent
    """half turns"""
    shift: float = 0.0
    sign: int = 1
    controls: tuple[tuple[int, int], ...] = ()
    """(place of the qubit, value)"""


class Matrix(NamedTuple):
    """A constant unitary on some qubits, the first the most significant."""

    matrix: tuple[tuple[complex, ...], ...]
    qubits: tuple[int, ...]
    controls: tuple[tuple[int, int], ...] = ()


class Channel(NamedTuple):
    """Noise on some qubits, the first the most significant: rho becomes the sum of K rho K^dagger."""

    kraus: tuple[tuple[tuple[complex, ...], ...], ...]
    qubits: tuple[int, ...]


Step = Power | Matrix | Channel


@dataclass(frozen=True)
class Family:
    """A class of gates: what of it is a parameter, how it is made again, and what it does."""

    cls: type
    fields: tuple[str, ...]
    """attributes that hold parameters: numbers or expressions"""
    lower: Callable[[Any], list[Step]]
    """from the rest (see `rest`) to steps in the order of time"""
    make: Callable[..., cirq.Gate]
    """(rest, *parameters) to the gate"""
    rest: Callable[[Any], Any] = lambda gate: gate._global_shift
    """what else tells two gates of the family apart; hashable"""
    width: Callable[[Any], int] = lambda _: 1
    """number of qubits, from the rest"""


def field(i: int, factor: float = 1.0) -> Exponent:
    return Exponent(0.0, ((i, factor),))


def on(letters: str, *qubits: int) -> tuple[tuple[int, str], ...]:
    return tuple(zip(qubits, letters, strict=True))


HALF = -0.5
"""the shift that makes a power a rotation: exp(-i pi t / 2 P)"""


def _pauli(letters: str, controls: int = 0) -> Callable[[float], list[Step]]:
    """A power of a string on the last qubits, controlled by the first."""
    qubits = range(controls, controls + len(letters))

    def lower(shift: float) -> list[Step]:
        held = tuple((i, 1) for i in range(controls))
        if not controls:
            return [Power(on(letters, *qubits), field(0), shift)]
        phase = [Power((), field(0, shift), sign=-1)] if shift else []
        return [Power(on(letters, *qubits), field(0), controls=held), *phase]

    return lower


def _h(shift: float) -> list[Step]:
    turn = [Power(on("Y", 0), Exponent(t), HALF) for t in (-0.25, 0.25)]
    return [turn[0], Power(on("Z", 0), field(0), shift), turn[1]]


def _swap(shift: float) -> list[Step]:
    """Swapping flips the first qubit where the second is 1, once a CNOT has made it say whether both differ."""
    cnot = Power(on("X", 1), Exponent(1.0), controls=((0, 1),))
    phase = [Power((), field(0, shift), sign=-1)] if shift else []
    return [cnot, Power(on("X", 0), field(0), controls=((1, 1),)), cnot, *phase]


def _iswap(shift: float, factor: float = 1.0) -> list[Step]:
    cnot = Power(on("X", 1), Exponent(1.0), controls=((0, 1),))
    phase = [Power((), field(0, shift * factor), sign=-1)] if shift else []
    return [cnot, Power(on("X", 0), field(0, -factor), HALF, controls=((1, 1),)), cnot, *phase]


def _phased_iswap(shift: float) -> list[Step]:
    def turn(sign: float) -> list[Step]:
        return [Power(on("Z", 0), field(0, sign)), Power(on("Z", 1), field(0, -sign))]

    middle = [s._replace(t=_moved(s.t, 1)) for s in _iswap(shift) if isinstance(s, Power)]
    return [*turn(1.0), *middle, *turn(-1.0)]


def _moved(t: Exponent, by: int) -> Exponent:
    return Exponent(t.constant, tuple((i + by, factor) for i, factor in t.terms))


def _fsim(_: None) -> list[Step]:
    cz = Power(on("Z", 1), field(1, -1 / np.pi), controls=((0, 1),))
    return [*_iswap(0.0, -2 / np.pi), cz]


def _phased_x(shift: float) -> list[Step]:
    return [Power(on("Z", 0), field(0, -1.0)), Power(on("X", 0), field(1), shift), Power(on("Z", 0), field(0))]


def _phased_xz(_: None) -> list[Step]:
    last = Exponent(0.0, ((1, 1.0), (2, 1.0)))
    return [Power(on("Z", 0), field(2, -1.0)), Power(on("X", 0), field(0)), Power(on("Z", 0), last)]


def _cswap(_: None) -> list[Step]:
    cnot = Power(on("X", 2), Exponent(1.0), controls=((1, 1),))
    return [cnot, Power(on("X", 1), Exponent(1.0), controls=((0, 1), (2, 1))), cnot]


def _phasor(rest: tuple[tuple[int, ...], int]) -> list[Step]:
    mask, sign = rest
    pauli = tuple((i, "XYZ"[m - 1]) for i, m in enumerate(mask) if m)
    return [Power(pauli, field(0), sign=sign), Power(pauli, field(1), sign=-sign)]


def _string(rest: tuple[tuple[int, ...], complex]) -> list[Step]:
    """A Pauli string itself, with its phase."""
    mask, phase = rest
    steps: list[Step] = [Power(((i, "XYZ"[m - 1]),), Exponent(1.0)) for i, m in enumerate(mask) if m]
    if phase != 1:
        steps.append(Power((), Exponent(float(np.angle(phase) / np.pi)), sign=-1))
    return steps


def _matrix(rest: tuple[tuple[complex, ...], ...]) -> list[Step]:
    return [Matrix(rest, tuple(range(len(rest).bit_length() - 1)))]


def _channel(cls: type, rest: Callable[[Any], Any], make: Callable[[Any], cirq.Gate]) -> Family:
    """All that tells channels apart is in the rest: their parameters are numbers."""

    @lru_cache(maxsize=512)
    def lower(own: Any) -> list[Step]:
        kraus = [k for k in cirq.kraus(make(own)) if np.any(k)]
        qubits = tuple(range(len(kraus[0]).bit_length() - 1))
        if len(kraus) == 1:
            return [Matrix(_tuples(kraus[0]), qubits)]
        return [Channel(tuple(_tuples(k) for k in kraus), qubits)]

    return Family(cls, (), lower, make, rest, lambda own: cirq.num_qubits(make(own)))


def _kraus(gate: cirq.KrausChannel) -> Any:
    """Operators and key of a channel, checked: Cirq does not."""
    kraus = [np.asarray(k) for k in cirq.kraus(gate)]
    if not np.allclose(sum(k.conj().T @ k for k in kraus), np.eye(len(kraus[0])), atol=1e-6):
        raise UserError(
            f"the Kraus operators of {gate} do not keep the trace: the sum of K^dagger K must be the identity"
        )
    return tuple(_tuples(k) for k in kraus), gate._key and str(gate._key)


def _random(gate: Any) -> Any:
    """Probability and description of the gate that acts or does not."""
    if cirq.is_parameterized(gate):
        raise UserError(f"{gate} has a symbol: the parameters of channels are numbers, so give it a value first")
    inner = describe(gate.sub_gate)
    assert inner is not None
    return float(gate.probability), inner[0], inner[1], tuple(map(float, inner[2]))


def _eigen(cls: type, lower: Callable[[float], list[Step]], width: int = 1) -> Family:
    make = lambda shift, t: cls(exponent=t, global_shift=shift)  # noqa: E731
    return Family(cls, ("_exponent",), lower, make, width=lambda _: width)


def _rotation(cls: type, letters: str, half_turn: float = 1.0) -> Family:
    power = _pauli(letters)
    return Family(
        cls, ("_exponent",), lambda _: power(HALF), lambda _, t: cls(rads=_times_pi(t) if half_turn == 1 else _times_pi(t) * half_turn), lambda _: None,
        lambda _: len(letters),
    )  # fmt: skip


def _times_pi(t: Number) -> Number:
    return t * sympy.pi if isinstance(t, sympy.Basic) else t * np.pi


def _tuples(matrix: np.ndarray) -> tuple[tuple[complex, ...], ...]:
    return tuple(tuple(complex(v) for v in row) for row in matrix)


FAMILIES = (
    _eigen(cirq.XPowGate, _pauli("X")),
    _eigen(cirq.YPowGate, _pauli("Y")),
    _eigen(cirq.ZPowGate, _pauli("Z")),
    _eigen(cirq.HPowGate, _h),
    _eigen(cirq.XXPowGate, _pauli("XX"), 2),
    _eigen(cirq.YYPowGate, _pauli("YY"), 2),
    _eigen(cirq.ZZPowGate, _pauli("ZZ"), 2),
    _eigen(cirq.CXPowGate, _pauli("X", 1), 2),
    _eigen(cirq.CZPowGate, _pauli("Z", 1), 2),
    _eigen(cirq.CCXPowGate, _pauli("X", 2), 3),
    _eigen(cirq.CCZPowGate, _pauli("Z", 2), 3),
    _eigen(cirq.SwapPowGate, _swap, 2),
    _eigen(cirq.ISwapPowGate, _iswap, 2),
    _rotation(cirq.Rx, "X"),
    _rotation(cirq.Ry, "Y"),
    _rotation(cirq.Rz, "Z"),
    _rotation(cirq.MSGate, "XX", 0.5),
    Family(
        cirq.PhasedXPowGate, ("_phase_exponent", "_exponent"), _phased_x,
        lambda shift, p, t: cirq.PhasedXPowGate(phase_exponent=p, exponent=t, global_shift=shift),
    ),
    Family(
        cirq.PhasedISwapPowGate, ("_phase_exponent", "_exponent"), _phased_iswap,
        lambda shift, p, t: cirq.PhasedISwapPowGate(phase_exponent=p, exponent=t, global_shift=shift),
        width=lambda _: 2,
    ),
    Family(
        cirq.PhasedXZGate, ("_x_exponent", "_z_exponent", "_axis_phase_exponent"), _phased_xz,
        lambda _, x, z, a: cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=a), lambda _: None,
    ),
    Family(
        cirq.FSimGate, ("_theta", "_phi"), _fsim, lambda _, theta, phi: cirq.FSimGate(theta, phi), lambda _: None,
        lambda _: 2,
    ),
    Family(cirq.CSwapGate, (), _cswap, lambda _: cirq.CSWAP, lambda _: None, lambda _: 3),
    Family(
        cirq.IdentityGate, (), lambda _: [], lambda shape: cirq.IdentityGate(qid_shape=shape), lambda gate: gate._qid_shape,
        len,
    ),
    Family(
        cirq.GlobalPhaseGate, (), lambda phase: [Power((), Exponent(float(np.angle(phase) / np.pi)), sign=-1)],
        cirq.GlobalPhaseGate, lambda gate: complex(gate._coefficient), lambda _: 0,
    ),
    Family(
        cirq.MatrixGate, (), _matrix, lambda rest: cirq.MatrixGate(np.array(rest)), lambda gate: _tuples(gate._matrix),
        lambda rest: len(rest).bit_length() - 1,
    ),
    Family(
        cirq.PauliStringPhasorGate, ("_exponent_neg", "_exponent_pos"), _phasor,
        lambda rest, neg, pos: cirq.PauliStringPhasorGate(
            cirq.DensePauliString(rest[0], coefficient=rest[1]), exponent_neg=neg, exponent_pos=pos
        ),
        lambda gate: (
            tuple(int(m) for m in gate.dense_pauli_string.pauli_mask), int(gate.dense_pauli_string.coefficient.real)
        ),
        lambda rest: len(rest[0]),
    ),
    Family(
        cirq.DensePauliString, (), _string,
        lambda rest: cirq.DensePauliString(rest[0], coefficient=rest[1]),
        lambda gate: (tuple(int(m) for m in gate.pauli_mask), complex(gate.coefficient)),
        lambda rest: len(rest[0]),
    ),
    _channel(
        cirq.DepolarizingChannel, lambda gate: (float(gate.p), gate.n_qubits), lambda rest: cirq.DepolarizingChannel(*rest)
    ),
    _channel(
        cirq.AsymmetricDepolarizingChannel,
        lambda gate: tuple((letters, float(p)) for letters, p in gate.error_probabilities.items()),
        lambda rest: cirq.AsymmetricDepolarizingChannel(error_probabilities=dict(rest)),
    ),
    _channel(cirq.AmplitudeDampingChannel, lambda gate: float(gate.gamma), cirq.AmplitudeDampingChannel),
    _channel(
        cirq.GeneralizedAmplitudeDampingChannel, lambda gate: (float(gate.p), float(gate.gamma)),
        lambda rest: cirq.GeneralizedAmplitudeDampingChannel(*rest),
    ),
    _channel(cirq.PhaseDampingChannel, lambda gate: float(gate.gamma), cirq.PhaseDampingChannel),
    _channel(cirq.PhaseFlipChannel, lambda gate: float(gate.p), cirq.PhaseFlipChannel),
    _channel(cirq.BitFlipChannel, lambda gate: float(gate.p), cirq.BitFlipChannel),
    _channel(cirq.ResetChannel, lambda _: None, lambda _: cirq.ResetChannel()),
    _channel(
        cirq.KrausChannel, _kraus, lambda rest: cirq.KrausChannel([np.array(k) for k in rest[0]], key=rest[1])
    ),
    _channel(
        cirq.RandomGateChannel, _random,
        lambda rest: cirq.RandomGateChannel(sub_gate=rebuild(rest[1], rest[2], rest[3]), probability=rest[0]),
    ),
)  # fmt: skip
"""a gate's number in stored circuits is its place here: new ones go to the end"""
CHANNELS = frozenset(range(27, 37))
"""the numbers of those that are noise"""
CONTROLLED = 1000
"""the number of any gate under further controls: rest is ((controls' values, ...), number, rest) of the gate inside"""
PLACE = {family.cls: i for i, family in enumerate(FAMILIES)}
PLACE |= {type(cirq.X): PLACE[cirq.XPowGate], type(cirq.Y): PLACE[cirq.YPowGate], type(cirq.Z): PLACE[cirq.ZPowGate]}


def describe(gate: Any) -> tuple[int, Any, tuple[Number, ...]] | None:
    """Number, rest and parameters of a gate; None: a gate that is not of these families."""
    if isinstance(gate, cirq.ControlledGate):
        inner = describe(gate.sub_gate)
        if inner is None or inner[0] in CHANNELS or any(size != 2 for size in gate.control_qid_shape):
            return None
        return CONTROLLED, (tuple(gate.control_values.expand()), inner[0], inner[1]), inner[2]
    if isinstance(gate, cirq.MatrixGate) and not cirq.is_unitary(gate._matrix):
        raise UserError(f"{gate!r} is not unitary: only unitary matrices are gates")
    number = PLACE.get(type(gate))
    if isinstance(gate, cirq.RandomGateChannel) and describe(gate.sub_gate) is None:
        return None
    if number is None or any(size != 2 for size in cirq.qid_shape(gate)):
        return None
    family = FAMILIES[number]
    return number, family.rest(gate), tuple(getattr(gate, name) for name in family.fields)


def width(number: int, rest: Any) -> int:
    """Number of qubits of a gate."""
    return len(rest[0][0]) + width(rest[1], rest[2]) if number == CONTROLLED else FAMILIES[number].width(rest)


def parameters(number: int, rest: Any) -> int:
    """Number of parameters of a gate."""
    return parameters(rest[1], rest[2]) if number == CONTROLLED else len(FAMILIES[number].fields)


def rebuild(number: int, rest: Any, parameters: Sequence[Number]) -> cirq.Gate:
    """The gate that `describe` described."""
    if number == CONTROLLED:
        values, inner, inner_rest = rest
        made = rebuild(inner, inner_rest, parameters)
        return cirq.ControlledGate(made, control_values=cirq.SumOfProducts(values))
    return FAMILIES[number].make(rest, *parameters)


def lower(number: int, rest: Any) -> list[Step]:
    """The steps of a gate, in the order of time; qubits by their place among the gate's."""
    if number != CONTROLLED:
        return FAMILIES[number].lower(rest)
    values, inner, inner_rest = rest
    many = len(values[0])
    steps: list[Step] = []
    for value in values:  # different values of the controls: subspaces apart, so one after the other is right
        held = tuple(enumerate(value))
        steps += [_behind(step, many, held) for step in lower(inner, inner_rest)]
    return steps


def _behind(step: Step, many: int, held: tuple[tuple[int, int], ...]) -> Step:
    """A step that acts behind so many control qubits."""
    assert not isinstance(step, Channel), "a controlled channel is described by its Kraus operators"
    controls = held + tuple((i + many, v) for i, v in step.controls)
    if isinstance(step, Matrix):
        return step._replace(qubits=tuple(i + many for i in step.qubits), controls=controls)
    return step._replace(pauli=tuple((i + many, letter) for i, letter in step.pauli), controls=controls)
