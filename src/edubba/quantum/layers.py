"""Circuits as layers of PyTorch. Names and arguments as in TensorFlow Quantum, where they make sense in torch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cirq
import numpy as np
import torch
from torch import Tensor, nn

from edubba.core.errors import UserError
from edubba.quantum import circuits as circuits_
from edubba.quantum import gradients, samplers, sampling, shifted, simulation, states
from edubba.quantum import noise as noise_
from edubba.quantum.circuits import Circuits
from edubba.quantum.observables import PauliSums
from edubba.quantum.tensors import circuits_of, convert_to_tensor, from_tensor


def _observables(items: Any) -> PauliSums:
    found = convert_to_tensor(items)
    if not isinstance(found, PauliSums):
        raise UserError(
            "the operators are circuits: observables are needed here, sums and products of cirq.X, cirq.Y, cirq.Z"
        )
    return found.reshape(1) if not found.shape else found


def _repetitions(repetitions: int | None) -> int | None:
    if repetitions is not None and repetitions < 1:
        raise UserError(f"repetitions={repetitions}: at least 1 shot is needed, or None for exact expectations")
    return repetitions


class AddCircuit(nn.Module):
    """Circuits with others before or after them."""

    def forward(self, inputs: Any, *, append: Any = None, prepend: Any = None) -> Circuits:
        """One circuit goes with all, as many go one by one. Exactly one of `append` and `prepend`."""
        if (append is None) == (prepend is None):
            raise UserError("give either append= or prepend=")
        own, other = (
            circuits_of(inputs, "the inputs"),
            circuits_of(prepend if append is None else append, "what is added"),
        )
        return circuits_.append(own, other) if prepend is None else circuits_.append(other, own)


class _Simulating(nn.Module):
    backends: tuple[str, ...] = ("noiseless", "noisy")
    of_shots = False
    """whether a `cirq.Sampler` can be the backend"""

    def __init__(
        self,
        *,
        qubits: Sequence[cirq.Qid] | None = None,
        dtype: torch.dtype = torch.float32,
        backend: Any = "noiseless",
    ) -> None:
        super().__init__()
        self.sampler = backend if self.of_shots and isinstance(backend, cirq.Sampler) else None
        if self.sampler is None and not (isinstance(backend, str) and backend in self.backends):
            known = [*map(repr, self.backends), *["a cirq.Sampler"] * self.of_shots]
            hint = ", and shots of a sampler are for Sample, SampledExpectation, PQC and ControlledPQC"
            raise UserError(
                f"backend={backend!r}: {' or '.join(known)} is what there is{hint * isinstance(backend, cirq.Sampler)}"
            )
        if dtype not in states.COMPLEX:
            raise UserError(
                f"dtype={dtype}: torch.float32 or torch.float64, which also sets the precision of the states"
            )
        self.qubits = None if qubits is None else tuple(qubits)
        self.dtype = dtype
        self.noisy = self.sampler is None and backend == "noisy"


def _simulated(
    rule: Any, circuits: Circuits, symbols: Sequence[Any], values: Tensor | None, operators: PauliSums, *,
    common: Tensor | None = None, constant: Sequence[str] = (), **settings: Any,
) -> Tensor:  # fmt: skip
    """(b, k); differentiated by way of states, or of expectations at shifted points."""
    if not isinstance(rule, (gradients.ParameterShift, gradients.LinearCombination)):
        return simulation.expectation(
            circuits, symbols, values, operators, common=common, differentiator=rule, **settings
        )
    return shifted.expectation(
        shifted.simulated(rule.evaluate), circuits, symbols, simulation.joined(values, common), operators,
        differentiator=rule, constant=constant, **settings,
    )  # fmt: skip


class Expectation(_Simulating):
    """Exact expectations of circuits; with `backend="noisy"` of circuits with channels."""

    def __init__(self, backend: Any = "noiseless", differentiator: Any = None, **settings: Any) -> None:
        super().__init__(backend=backend, **settings)
        self.differentiator = differentiator

    def forward(
        self, inputs: Any, *, symbol_names: Sequence[Any] = (), symbol_values: Tensor | None = None, operators: Any,
        repetitions: int | None = None,
    ) -> Tensor:  # fmt: skip
        """(b, k).

        Parameters
        ----------
        inputs
            A circuit, or b.
        symbol_names, symbol_values
            p names and (b, p) values; one row goes with all circuits, one circuit with all rows.
        operators
            k observables, or (b, k).
        repetitions
            Under noise: mean over so many trajectories; None: exact, by the density matrix.
        """
        _repetitions(repetitions)
        rule = self.differentiator
        if self.noisy:
            rule = noise_.rule(rule, repetitions, shots=False)
        elif repetitions is not None:
            raise UserError(
                f"repetitions={repetitions}: exact expectations need none; for shots use SampledExpectation"
            )
        return _simulated(
            rule, circuits_of(inputs, "the inputs"), symbol_names, symbol_values, _observables(operators),
            qubits=self.qubits, dtype=self.dtype, noise=self.noisy,
        )  # fmt: skip


class SampledExpectation(_Simulating):
    """Expectations from shots; the gradient too, by `ParameterShift` if nothing else is given.

    `backend` is "noiseless", "noisy" or a `cirq.Sampler`, to which the circuits go with their channels.
    """

    of_shots = True

    def __init__(self, backend: Any = "noiseless", differentiator: Any = None, **settings: Any) -> None:
        super().__init__(backend=backend, **settings)
        self.differentiator = differentiator or gradients.ParameterShift()

    def forward(
        self, inputs: Any, *, symbol_names: Sequence[Any] = (), symbol_values: Tensor | None = None, operators: Any,
        repetitions: int,
    ) -> Tensor:  # fmt: skip
        """(b, k): means over `repetitions` shots for each group of strings that can be measured together.

        Under noise each shot has a trajectory of its own, which all groups share.
        """
        _repetitions(repetitions)
        if self.sampler is not None:
            return samplers.expectation(
                self.sampler, circuits_of(inputs, "the inputs"), symbol_names, symbol_values, _observables(operators),
                repetitions, differentiator=_from_shots(self.differentiator), qubits=self.qubits, dtype=self.dtype,
            )  # fmt: skip
        if self.noisy:
            rule = noise_.rule(self.differentiator, repetitions, shots=True)
        else:
            rule = sampled(self.differentiator, repetitions)
        return _simulated(
            rule, circuits_of(inputs, "the inputs"), symbol_names, symbol_values, _observables(operators),
            qubits=self.qubits, dtype=self.dtype, noise=self.noisy,
        )  # fmt: skip


def _from_shots(differentiator: Any) -> Any:
    """A rule, unless it needs states."""
    if isinstance(differentiator, (gradients.Adjoint, gradients.Backprop)):
        raise UserError(
            f"{type(differentiator).__name__} needs the state, which shots do not show: use ParameterShift,"
            " CentralDifference or ForwardDifference"
        )
    return differentiator


def sampled(differentiator: Any, repetitions: int) -> Any:
    """A rule whose expectations come from shots."""
    _repetitions(repetitions)
    _from_shots(differentiator)

    def shots(t: Tensor, program: Any, terms: Any) -> Tensor:
        return sampling.expectation(states.run(program, t), terms, repetitions)

    return replace(differentiator, evaluate=shots)


class Sample(_Simulating):
    """Bits of circuits; with `backend="noisy"` each shot from a trajectory of its own, with a `cirq.Sampler` from there."""

    of_shots = True

    def forward(
        self, inputs: Any, *, symbol_names: Sequence[Any] = (), symbol_values: Tensor | None = None, repetitions: int
    ) -> tuple[Tensor, Tensor]:
        """(b, repetitions, n) int8 and the number of qubits of each circuit, (b,): bits beyond it are 0 and mean nothing."""
        _repetitions(repetitions)
        if self.sampler is not None:
            shots = samplers.bits(
                self.sampler,
                circuits_of(inputs, "the inputs"),
                symbol_names,
                symbol_values,
                repetitions,
                qubits=self.qubits,
            )
            length = torch.tensor([each.shape[1] for each in shots], dtype=torch.int64)
            longest = max((each.shape[1] for each in shots), default=0)
            whole = [np.pad(each, ((0, 0), (0, longest - each.shape[1]))) for each in shots]
            return torch.from_numpy(np.array(whole, np.int8).reshape(len(shots), repetitions, longest)), length
        found, values, names = simulation.prepare(
            circuits_of(inputs, "the inputs"), symbol_names, symbol_values, dtype=self.dtype, noise=self.noisy
        )
        many = list(simulation.groups(found, values, names, self.qubits))
        n = max((group.program.n for group in many), default=0)
        out = torch.zeros(len(found), repetitions, n, dtype=torch.int8, device=values.device)
        length = torch.zeros(len(found), dtype=torch.int64)
        with torch.no_grad():
            for group in many:
                if self.noisy:
                    runs = noise_.trajectories(group.program, group.t, repetitions)
                    shots = torch.cat([sampling.draw(psi, 1) for _, psi in runs]).reshape(-1, repetitions)
                else:
                    shots = sampling.draw(states.run(group.program, group.t), repetitions)
                out[group.index, :, : group.program.n] = sampling.bits(shots, group.program.n)
                length[group.index] = group.program.n
        return out, length


class State(_Simulating):
    """Final states of circuits, differentiable."""

    backends = ("noiseless",)

    def forward(
        self, inputs: Any, *, symbol_names: Sequence[Any] = (), symbol_values: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(b, d) complex and the length of each state, (b,): what is beyond it is 0."""
        found = circuits_of(inputs, "the inputs")
        return simulation.state(found, symbol_names, symbol_values, qubits=self.qubits, dtype=self.dtype)


class Unitary(_Simulating):
    """Unitaries of circuits, differentiable."""

    backends = ("noiseless",)

    def forward(
        self, inputs: Any, *, symbol_names: Sequence[Any] = (), symbol_values: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(b, d, d) complex and the number of rows of each, (b,): what is beyond it is 0."""
        found = circuits_of(inputs, "the inputs")
        return simulation.unitary(found, symbol_names, symbol_values, qubits=self.qubits, dtype=self.dtype)


class DensityMatrix(_Simulating):
    """Final density matrices of circuits, with channels or without; differentiable."""

    def __init__(self, *, qubits: Sequence[cirq.Qid] | None = None, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(qubits=qubits, dtype=dtype, backend="noisy")

    def forward(
        self, inputs: Any, *, symbol_names: Sequence[Any] = (), symbol_values: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(b, d, d) complex and the number of rows of each, (b,): what is beyond it is 0."""
        found = circuits_of(inputs, "the inputs")
        return noise_.density_matrices(found, symbol_names, symbol_values, qubits=self.qubits, dtype=self.dtype)


def _with_noise(model: Circuits, noise: Any) -> Circuits:
    try:
        its = cirq.NoiseModel.from_noise_model_like(noise)
    except (TypeError, ValueError):
        raise UserError(
            f"noise={noise!r} is neither a cirq.NoiseModel nor a channel on one qubit, such as cirq.depolarize(0.01)"
        ) from None
    return circuits_of(from_tensor(model).with_noise(its), "the model")


def _uniform(weight: Tensor) -> Tensor:
    return nn.init.uniform_(weight, 0, 2 * math.pi)


class ControlledPQC(_Simulating):
    """A model circuit whose symbols all come from outside, from the layer before for instance."""

    of_shots = True

    def __init__(
        self,
        model_circuit: Any,
        operators: Any,
        *,
        repetitions: int | None = None,
        sample_based: bool | None = None,
        noise: Any = None,
        backend: Any = "noiseless",
        differentiator: Any = None,
        symbols: Sequence[Any] | None = None,
        qubits: Sequence[cirq.Qid] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """
        Parameters
        ----------
        model_circuit
            With symbols.
        operators
            k observables.
        repetitions
            Shots; None: exact.
        sample_based
            Under noise, what a repetition is: a trajectory's exact expectation (False), or one shot of it (True, None).
        noise
            A `cirq.NoiseModel`, or a channel that acts on every qubit after every moment of the model, such as
            `cirq.depolarize(0.01)`. Circuits given to the layer get none.
        backend
            "noisy": the circuits have channels; implied by `noise`. Or a `cirq.Sampler`, with `repetitions`: circuits go there,
            with their channels, and shots come back.
        differentiator
            See `gradients`; None: `Adjoint` where exact, else `ParameterShift`.
        symbols
            Order of the columns of the values; None: natural order, t2 before t10.
        """
        sampler = isinstance(backend, cirq.Sampler)
        super().__init__(qubits=qubits, dtype=dtype, backend=backend if noise is None or sampler else "noisy")
        self.model = circuits_of(model_circuit, "the model")
        if self.model.shape:
            raise UserError(f"the model is a tensor of circuits of shape {self.model.shape}: give a single circuit")
        if not self.model.symbols:
            raise UserError("the model circuit has no symbols, so there is nothing to control or to learn: put some in")
        if noise is not None:
            self.model = _with_noise(self.model, noise)
        if not self.noisy and not sampler:
            simulation.check_noiseless(self.model)
        self.operators = _observables(operators)
        if len(self.operators.shape) != 1:
            raise UserError(f"the operators have shape {self.operators.shape}: give k of them")
        self.symbols = tuple(map(str, symbols)) if symbols is not None else self.model.symbols
        self.repetitions = _repetitions(repetitions)
        if sampler and (repetitions is None or sample_based is False):
            raise UserError("a cirq.Sampler gives shots and nothing else: say how many, repetitions=1000 for instance")
        if sample_based and repetitions is None:
            raise UserError("sample_based=True needs repetitions, the number of shots")
        if sample_based is False and repetitions is not None and not self.noisy:
            raise UserError(
                f"sample_based=False with {repetitions} repetitions needs noise: without, give repetitions=None"
            )
        self.rule = differentiator
        if sampler:
            self.rule = _from_shots(differentiator or gradients.ParameterShift())
        elif self.noisy:
            self.rule = noise_.rule(differentiator, repetitions, shots=sample_based is not False)
        elif repetitions is not None:
            self.rule = sampled(differentiator or gradients.ParameterShift(), repetitions)

    def forward(self, circuits: Any = None, values: Tensor | None = None) -> Tensor:
        """(b, k): `layer(values)`, `layer(circuits, values)` or, as in Keras, `layer([circuits, values])`."""
        if isinstance(circuits, (list, tuple)) and len(circuits) == 2 and isinstance(circuits[1], Tensor):
            circuits, values = circuits
        if values is None and isinstance(circuits, Tensor):
            circuits, values = None, circuits
        if values is None:
            raise UserError(
                f"this layer needs values for its {len(self.symbols)} symbols: layer(values), shape (batch, {len(self.symbols)})"
            )
        return self._expectation(circuits, self.symbols, values)

    def _whole(self, given: Circuits) -> Circuits:
        """Circuits with the model after them; kept, as the same ones often come again."""
        kept = given.kept.get(id(self.model))
        if kept is None or kept[0] is not self.model:
            if self.sampler is None and not self.noisy:
                given_ = circuits_.aligned(given, frozenset(self.model.qubits if self.qubits is None else self.qubits))
            else:
                given_ = given
            kept = given.kept[id(self.model)] = self.model, circuits_.append(given_, self.model)
        return kept[1]

    def _expectation(
        self, circuits: Any, names: Sequence[str], values: Tensor | None, common: Tensor | None = None,
        constant: Sequence[str] = (),
    ) -> Tensor:  # fmt: skip
        whole = self.model if circuits is None else self._whole(circuits_of(circuits, "the inputs"))
        if self.sampler is not None:
            assert self.repetitions is not None
            return samplers.expectation(
                self.sampler, whole, names, simulation.joined(values, common), self.operators, self.repetitions,
                differentiator=self.rule, qubits=self.qubits, dtype=self.dtype, constant=constant,
            )  # fmt: skip
        return _simulated(
            self.rule, whole, names, values, self.operators, common=common, constant=constant, qubits=self.qubits,
            dtype=self.dtype, noise=self.noisy,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{len(self.symbols)} symbols, {self.operators.shape[0]} observables, repetitions={self.repetitions}"


class PQC(ControlledPQC):
    """A model circuit whose symbols are learned, but for those that are inputs."""

    def __init__(
        self,
        model_circuit: Any,
        operators: Any,
        *,
        inputs: Sequence[Any] = (),
        initializer: Callable[[Tensor], Any] = _uniform,
        **settings: Any,
    ) -> None:
        """
        Parameters
        ----------
        model_circuit, operators, settings
            As in `ControlledPQC`.
        inputs
            Symbols that come from outside: data, uploaded as often as they stand in the circuit.
        initializer
            Fills the weight in place; default: uniform from 0 to 2 pi.
        """
        super().__init__(model_circuit, operators, **settings)
        self.inputs = tuple(map(str, inputs))
        unknown = [name for name in self.inputs if name not in self.symbols]
        if unknown:
            raise UserError(
                f"inputs has {unknown[0]!r}, which is no symbol of the model: it has {', '.join(self.symbols)}"
            )
        self.symbols = tuple(name for name in self.symbols if name not in self.inputs)
        if not self.symbols:
            raise UserError("all symbols are inputs, so there is nothing to learn: use ControlledPQC")
        self.names = (*self.inputs, *self.symbols)
        self.weight = nn.Parameter(torch.empty(len(self.symbols), dtype=self.dtype))
        with torch.no_grad():
            initializer(self.weight)

    def forward(self, circuits: Any = None, values: Tensor | None = None) -> Tensor:
        """(b, k): `layer()`, `layer(circuits)`, or with inputs `layer(values)` and `layer(circuits, values)`."""
        if values is None and isinstance(circuits, Tensor):
            circuits, values = None, circuits
        if (values is None) != (not self.inputs):
            raise UserError(
                f"this layer takes values of shape (batch, {len(self.inputs)}) for {', '.join(self.inputs)}"
                if self.inputs
                else "this layer takes no values: name the symbols that are data with inputs=, or use ControlledPQC"
            )
        if values is None:
            return self._expectation(circuits, self.symbols, None, self.weight)
        return self._expectation(circuits, self.names, values, self.weight, () if values.requires_grad else self.inputs)

    def symbol_values(self) -> dict[str, float]:
        """What has been learned, by name."""
        return dict(zip(self.symbols, self.weight.detach().tolist(), strict=True))


class NoisyControlledPQC(ControlledPQC):
    """A `ControlledPQC` for circuits with channels."""

    def __init__(
        self, model_circuit: Any, operators: Any, *, repetitions: int | None, sample_based: bool,
        **settings: Any,
    ) -> None:  # fmt: skip
        """
        Parameters
        ----------
        model_circuit, operators, settings
            As in `ControlledPQC`.
        repetitions
            Trajectories; None: exact, by the density matrix.
        sample_based
            One shot of each trajectory; False: the mean of their exact expectations.
        """
        super().__init__(
            model_circuit, operators, repetitions=repetitions, sample_based=sample_based, backend="noisy", **settings
        )


class NoisyPQC(PQC):
    """A `PQC` for circuits with channels."""

    def __init__(
        self, model_circuit: Any, operators: Any, *, repetitions: int | None, sample_based: bool,
        **settings: Any,
    ) -> None:  # fmt: skip
        """
        Parameters
        ----------
        model_circuit, operators, settings
            As in `PQC`.
        repetitions, sample_based
            As in `NoisyControlledPQC`.
        """
        super().__init__(
            model_circuit, operators, repetitions=repetitions, sample_based=sample_based, backend="noisy", **settings
        )
