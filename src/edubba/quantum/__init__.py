"""Circuits as tensors, circuits as layers: what TensorFlow Quantum is (Broughton et al. 2020), native to PyTorch."""

import importlib
from typing import TYPE_CHECKING

from edubba.core.errors import need

if TYPE_CHECKING:
    from edubba.quantum.circuits import Circuits
    from edubba.quantum.gradients import (
        Adjoint,
        Backprop,
        CentralDifference,
        ForwardDifference,
        LinearCombination,
        ParameterShift,
    )  # fmt: skip
    from edubba.quantum.layers import (
        PQC,
        AddCircuit,
        ControlledPQC,
        DensityMatrix,
        Expectation,
        NoisyControlledPQC,
        NoisyPQC,
        Sample,
        SampledExpectation,
        State,
        Unitary,
    )  # fmt: skip
    from edubba.quantum.observables import PauliSums
    from edubba.quantum.overlaps import fidelity, inner_product
    from edubba.quantum.pauli import exponential
    from edubba.quantum.storage import load, save
    from edubba.quantum.tensors import (
        cat,
        collate,
        convert_to_tensor,
        from_tensor,
        get_circuit_symbols,
        resolve_parameters,
        stack,
    )  # fmt: skip

__all__ = [
    "PQC", "AddCircuit", "Adjoint", "Backprop", "CentralDifference", "Circuits", "ControlledPQC",
    "DensityMatrix", "Expectation", "ForwardDifference", "LinearCombination", "NoisyControlledPQC", "NoisyPQC",
    "ParameterShift", "PauliSums", "Sample", "SampledExpectation", "State", "Unitary", "cat", "collate", "convert_to_tensor", "exponential", "fidelity", "from_tensor", "get_circuit_symbols",
    "inner_product", "load", "resolve_parameters", "save", "stack",
]  # fmt: skip

PLACES = {
    "AddCircuit": "layers", "Adjoint": "gradients", "Backprop": "gradients", "CentralDifference": "gradients",
    "Circuits": "circuits", "ControlledPQC": "layers", "DensityMatrix": "layers", "Expectation": "layers",
    "ForwardDifference": "gradients", "LinearCombination": "gradients", "NoisyControlledPQC": "layers",
    "NoisyPQC": "layers", "PQC": "layers", "ParameterShift": "gradients", "PauliSums": "observables",
    "Sample": "layers", "SampledExpectation": "layers", "State": "layers", "Unitary": "layers", "cat": "tensors",
    "collate": "tensors", "convert_to_tensor": "tensors", "exponential": "pauli", "fidelity": "overlaps",
    "from_tensor": "tensors", "get_circuit_symbols": "tensors", "inner_product": "overlaps", "load": "storage",
    "resolve_parameters": "tensors", "save": "storage", "stack": "tensors",
}  # fmt: skip


def __getattr__(name: str):
    if name in PLACES:
        need("cirq", extra="quantum")
        return getattr(importlib.import_module(f"edubba.quantum.{PLACES[name]}"), name)
    raise AttributeError(f"module 'edubba.quantum' has no attribute {name!r}")
