"""Eight float32 lanes as a numba type: LLVM vectors with Python operators.

LLVM does not vectorise the blending loops by itself, so they say what they mean: a `lanes` value holds
eight neighbouring pixels (LLVM `<8 x float>`), comparisons give masks, `select` chooses per lane. LLVM
lowers it to whatever the machine has: AVX, two SSE or NEON registers, or plain scalars.

Arrays are addressed by flat element index. All functions here work only inside kernels.
"""

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDTH = 8
_FLOAT = ir.FloatType()
_INT = ir.IntType(32)
_FLOATS = ir.VectorType(_FLOAT, WIDTH)
_INTS = ir.VectorType(_INT, WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)
_FAST = ("fast",)


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="emoga_lanes8")


class _MaskType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="emoga_mask8")


lanes = _LanesType()
mask = _MaskType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _FLOATS)


@register_model(_MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _BITS)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [value] * WIDTH)


def _as_lanes(context, builder, value, numba_type):
    """Broadcast a scalar; leave lanes alone."""
    if numba_type == lanes:
        return value
    scalar = context.cast(builder, value, numba_type, types.float32)
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * WIDTH))


def _takes_lanes(args) -> bool:
    return (
        len(args) == 2
        and lanes in args
        and all(a == lanes or isinstance(a, types.Float | types.Integer) for a in args)
    )


_OPERANDS = (
    (lanes, lanes),
    (lanes, types.Float),
    (types.Float, lanes),
    (lanes, types.Integer),
    (types.Integer, lanes),
)


def _define_binary(symbol, result, build) -> None:
    """Give the Python operator `symbol` a meaning on lanes (and scalars mixed with lanes)."""

    @infer_global(symbol)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            return signature(result, *args) if _takes_lanes(args) else None

    def lower(context, builder, sig, args):
        left = _as_lanes(context, builder, args[0], sig.args[0])
        right = _as_lanes(context, builder, args[1], sig.args[1])
        return build(builder, left, right)

    for operands in _OPERANDS:
        lower_builtin(symbol, *operands)(lower)


for _symbol, _name in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.isub, "fsub"),
    (operator.mul, "fmul"),
    (operator.imul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define_binary(_symbol, lanes, lambda b, x, y, name=_name: getattr(b, name)(x, y, flags=_FAST))
for _symbol, _name in (
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.lt, "<"),
    (operator.le, "<="),
):
    _define_binary(_symbol, mask, lambda b, x, y, name=_name: b.fcmp_ordered(name, x, y, flags=_FAST))


@infer_global(operator.and_)
class _MaskAnd(AbstractTemplate):
    def generic(self, args, kws):
        return signature(mask, mask, mask) if args == (mask, mask) else None


lower_builtin(operator.and_, mask, mask)(lambda context, builder, sig, args: builder.and_(*args))


def _element_pointer(context, builder, array_type, array, index, index_type):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [context.cast(builder, index, index_type, types.intp)])


def _call_vector(builder, name, *args):
    """Call the LLVM intrinsic `name` on lanes."""
    signature_ = ir.FunctionType(args[0].type, [arg.type for arg in args])
    function = cgutils.get_or_insert_function(builder.module, signature_, f"llvm.{name}.v{WIDTH}f32")
    return builder.call(function, args, fastmath=_FAST)


@intrinsic
def load(typing_context, array, index):
    """Eight elements of `array` from flat `index` on."""

    def generate(context, builder, sig, args):
        pointer = _element_pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1])
        return builder.load(builder.bitcast(pointer, _FLOATS.as_pointer()), align=4)

    return lanes(array, index), generate


@intrinsic
def store(typing_context, array, index, value):
    """Write eight elements of `array` from flat `index` on."""

    def generate(context, builder, sig, args):
        pointer = _element_pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1])
        builder.store(args[2], builder.bitcast(pointer, _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), generate


def _define_rounded_store(name):
    @intrinsic
    def rounded_store(typing_context, array, index, value):
        def generate(context, builder, sig, args):
            pointer = _element_pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1])
            rounded = builder.fptosi(_call_vector(builder, name, args[2]), _INTS)
            builder.store(rounded, builder.bitcast(pointer, _INTS.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(array, index, value), generate

    return rounded_store


store_floor = _define_rounded_store("floor")
store_ceil = _define_rounded_store("ceil")


@intrinsic
def splat(typing_context, scalar):
    """The same value in every lane."""
    return lanes(scalar), lambda context, builder, sig, args: _as_lanes(
        context, builder, args[0], sig.args[0]
    )


@intrinsic
def ramp(typing_context):
    """0, 1, 2, … 7."""
    return lanes(), lambda context, builder, sig, args: ir.Constant(_FLOATS, [float(i) for i in range(WIDTH)])


@intrinsic
def select(typing_context, condition, where_true, where_false):
    """Per lane: `where_true` where the mask is set, else `where_false`."""

    def generate(context, builder, sig, args):
        chosen = [_as_lanes(context, builder, args[i], sig.args[i]) for i in (1, 2)]
        return builder.select(args[0], *chosen)

    return lanes(condition, where_true, where_false), generate


@intrinsic
def minimum(typing_context, left, right):
    """The smaller of two, per lane."""

    def generate(context, builder, sig, args):
        x, y = (_as_lanes(context, builder, args[i], sig.args[i]) for i in (0, 1))
        return builder.select(builder.fcmp_ordered("<", x, y, flags=_FAST), x, y)

    return lanes(left, right), generate


@intrinsic
def any_set(typing_context, condition):
    """True when the mask is set in at least one lane."""

    def generate(context, builder, sig, args):
        packed = ir.IntType(WIDTH)
        return builder.icmp_unsigned("!=", builder.bitcast(args[0], packed), ir.Constant(packed, 0))

    return types.boolean(condition), generate


@intrinsic
def total(typing_context, value):
    """Sum over the lanes, float32."""

    def generate(context, builder, sig, args):
        signature_ = ir.FunctionType(_FLOAT, [_FLOAT, _FLOATS])
        name = f"llvm.vector.reduce.fadd.v{WIDTH}f32"
        function = cgutils.get_or_insert_function(builder.module, signature_, name)
        return builder.call(function, [ir.Constant(_FLOAT, 0.0), args[0]], fastmath=_FAST)

    return types.float32(value), generate


@intrinsic
def sqrt_or_zero(typing_context, value):
    """Square root; zero for negative lanes."""

    def generate(context, builder, sig, args):
        zero = _constant(0.0)
        positive = builder.fcmp_ordered(">", args[0], zero, flags=_FAST)
        return _call_vector(builder, "sqrt", builder.select(positive, args[0], zero))

    return lanes(value), generate


def _exp2_polynomial(degree: int) -> list[float]:
    """Coefficients of 2**f on [-1/2, 1/2], least relative squares over Chebyshev points."""
    f = np.cos(np.pi * (np.arange(200) + 0.5) / 200) / 2
    weight = 2.0**-f
    columns = np.stack([f**k for k in range(degree + 1)], 1) * weight[:, None]
    return [float(c) for c in np.linalg.lstsq(columns, np.ones(200), rcond=None)[0]]


_EXP2 = _exp2_polynomial(5)


@intrinsic
def exp2(typing_context, value):
    """2**value to 2e-7 relative, for |value| < 126; lanes beyond hold rubbish, select them away.

    The whole part goes into the float's exponent bits, the rest through a polynomial.
    """

    def generate(context, builder, sig, args):
        whole = _call_vector(builder, "rint", args[0])
        fraction = builder.fsub(args[0], whole)
        power = _constant(_EXP2[-1])
        for coefficient in _EXP2[-2::-1]:
            power = builder.fadd(
                builder.fmul(power, fraction, flags=_FAST), _constant(coefficient), flags=_FAST
            )
        exponent = builder.shl(builder.fptosi(whole, _INTS), ir.Constant(_INTS, [23] * WIDTH))
        return builder.bitcast(builder.add(builder.bitcast(power, _INTS), exponent), _FLOATS)

    return lanes(value), generate


def _define_rounding(name):
    @intrinsic
    def rounding(typing_context, scalar):
        def generate(context, builder, sig, args):
            value = context.cast(builder, args[0], sig.args[0], types.float32)
            signature_ = ir.FunctionType(_FLOAT, [_FLOAT])
            function = cgutils.get_or_insert_function(builder.module, signature_, f"llvm.{name}.f32")
            return builder.fptosi(builder.call(function, [value], fastmath=_FAST), _INT)

        return types.int32(scalar), generate

    return rounding


# math.floor and math.ceil call the C library from numba and spill every register around it.
floor_int = _define_rounding("floor")
ceil_int = _define_rounding("ceil")


@intrinsic
def float_bits(typing_context, scalar):
    """The 32 bits of a float32 as int32."""
    return types.int32(scalar), lambda context, builder, sig, args: builder.bitcast(args[0], _INT)


@intrinsic
def prefetch(typing_context, array, index):
    """Ask for the cache line of flat element `index` ahead of its use."""

    def generate(context, builder, sig, args):
        byte_pointer = ir.IntType(8).as_pointer()
        pointer = _element_pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1])
        signature_ = ir.FunctionType(ir.VoidType(), [byte_pointer, _INT, _INT, _INT])
        function = cgutils.get_or_insert_function(builder.module, signature_, "llvm.prefetch.p0")
        hints = [ir.Constant(_INT, hint) for hint in (0, 3, 1)]  # read, keep close, data
        builder.call(function, [builder.bitcast(pointer, byte_pointer), *hints])
        return context.get_dummy_value()

    return types.void(array, index), generate
