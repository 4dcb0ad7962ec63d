"""Sixteen numbers at a time, as a type that numba compiles: what its own vectoriser makes of loops is ten times slower.

Lanes are added, subtracted and multiplied with + - *; LLVM maps them onto whatever vectors a processor has.
"""

import operator
from typing import Any, no_type_check

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

LANES = 16
WIDE, NONE = np.int64(LANES), np.int64(0)
"""as numbers of any size: for each literal that a function is called with it would be compiled once more"""
compiled: Any = numba.njit(nogil=True, fastmath=True, error_model="numpy")


class Lanes(types.Type):
    """So many numbers that are computed with at a time."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, its: Any) -> None:
        super().__init__(manager, its, ir.VectorType(manager.lookup(its.dtype).get_value_type(), LANES))


def _many(values: Any) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), LANES), values)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: Any) -> Any:
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


@intrinsic
@no_type_check
def load(typing, array, index):
    """Lanes from array[index] on."""

    def code(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        where = _address(context, builder, signature.args[0], args[0], args[1], vector)
        return builder.load(where, align=context.get_abi_sizeof(vector.element))

    return Lanes(array.dtype)(array, types.intp), code


@intrinsic
@no_type_check
def store(typing, array, index, lanes):
    """array[index:] = lanes."""

    def code(context, builder, signature, args):
        vector = args[2].type
        where = _address(context, builder, signature.args[0], args[0], args[1], vector)
        builder.store(args[2], where, align=context.get_abi_sizeof(vector.element))
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@intrinsic
@no_type_check
def picked(typing, array, index, at):
    """out[j] = array[index[at + j]]."""

    def code(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        whole = ir.VectorType(context.get_value_type(signature.args[1].dtype), LANES)
        where = builder.load(_address(context, builder, signature.args[1], args[1], args[2], whole), align=4)
        where = builder.zext(where, ir.VectorType(ir.IntType(64), LANES))
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0]).data
        pointer = ir.VectorType(data.type, LANES)
        nothing = ir.Constant(pointer, ir.Undefined)
        base = builder.insert_element(nothing, data, ir.Constant(ir.IntType(32), 0))
        base = builder.shuffle_vector(base, nothing, _many([0] * LANES))
        size = context.get_abi_sizeof(vector.element)
        number = ir.VectorType(ir.IntType(64), LANES)
        offset = builder.mul(where, ir.Constant(number, [size] * LANES))
        address = builder.inttoptr(builder.add(builder.ptrtoint(base, number), offset), pointer)
        mask = ir.VectorType(ir.IntType(1), LANES)
        letter = {4: "f32", 8: "f64"}[size]
        gather = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [pointer, ir.IntType(32), mask, vector]),
            f"llvm.masked.gather.v{LANES}{letter}.v{LANES}p0",
        )  # fmt: skip
        return builder.call(
            gather,
            [
                address,
                ir.Constant(ir.IntType(32), size),
                ir.Constant(mask, [1] * LANES),
                ir.Constant(vector, ir.Undefined),
            ],
        )

    return Lanes(array.dtype)(array, index, types.intp), code


@intrinsic
@no_type_check
def splat(typing, x):
    """The same number in all lanes."""

    def code(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        nothing = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(nothing, args[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, nothing, _many([0] * LANES))

    return Lanes(x)(x), code


@intrinsic
@no_type_check
def swapped(typing, lanes, bit):
    """out[j] = lanes[j ^ bit], bit a constant of the code."""
    if not isinstance(bit, types.IntegerLiteral):
        return None
    mask = _many([j ^ bit.literal_value for j in range(LANES)])

    def code(context, builder, signature, args):
        return builder.shuffle_vector(args[0], args[0], mask)

    return lanes(lanes, bit), code


@intrinsic
@no_type_check
def total(typing, lanes):
    """The sum over lanes."""

    def code(context, builder, signature, args):
        found, width = args[0], LANES
        while width > 1:
            moved = builder.shuffle_vector(found, found, _many([(j + width // 2) % LANES for j in range(LANES)]))
            found, width = builder.fadd(found, moved, flags=("fast",)), width // 2
        return builder.extract_element(found, ir.Constant(ir.IntType(32), 0))

    return lanes.dtype(lanes), code


@intrinsic
@no_type_check
def odd(typing, k):
    """Whether k has an odd number of ones, 0 or 1."""

    def code(context, builder, signature, args):
        return builder.and_(builder.ctpop(args[0]), ir.Constant(args[0].type, 1))

    return types.intp(types.intp), code


@intrinsic
@no_type_check
def either(typing, condition, one, other):
    """`one` where the condition is not 0, else `other`, without a branch."""

    def code(context, builder, signature, args):
        return builder.select(builder.icmp_signed("!=", args[0], ir.Constant(args[0].type, 0)), args[1], args[2])

    return one(types.intp, one, one), code


def _arithmetic(function: Any, name: str) -> None:
    @intrinsic
    @no_type_check
    def compute(typing, x, y):
        return x(x, y), lambda context, builder, signature, args: getattr(builder, name)(*args, flags=("fast",))

    @overload(function)
    def use(x, y):
        if isinstance(x, Lanes) and isinstance(y, Lanes):
            lanes: Any = compute
            return lambda x, y: lanes(x, y)


for _function, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _arithmetic(_function, _name)


@intrinsic
@no_type_check
def _negated(typing, x):
    return x(x), lambda context, builder, signature, args: builder.fneg(args[0], flags=("fast",))


@overload(operator.neg)
def _negative(x):
    if isinstance(x, Lanes):
        lanes: Any = _negated
        return lambda x: lanes(x)
