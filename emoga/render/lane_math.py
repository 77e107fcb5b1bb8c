"""Functions of lanes, and of scalars where numba's own are slow: roots, powers, logarithms, rounding.

They work only inside kernels; see `lanes`.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from emoga.render.lanes import FAST, FLOAT, INT, LANE_TYPES, as_lanes, common_width, constant, ints


def _call_vector(builder, name, *args):
    """Call the LLVM intrinsic `name` on lanes."""
    signature_ = ir.FunctionType(args[0].type, [arg.type for arg in args])
    full_name = f"llvm.{name}.v{args[0].type.count}f32"
    function = cgutils.get_or_insert_function(builder.module, signature_, full_name)
    return builder.call(function, args, fastmath=FAST)


def _define_choice(comparison):
    @intrinsic
    def choice(typing_context, left, right):
        width = common_width((left, right))

        def generate(context, builder, sig, args):
            if width is None:
                x, y = (context.cast(builder, args[i], sig.args[i], types.float32) for i in (0, 1))
            else:
                x, y = (as_lanes(context, builder, args[i], sig.args[i], width) for i in (0, 1))
            return builder.select(builder.fcmp_ordered(comparison, x, y, flags=FAST), x, y)

        return (types.float32 if width is None else LANE_TYPES[width])(left, right), generate

    return choice


# The smaller and the larger of two, per lane; of two scalars float32.
minimum = _define_choice("<")
maximum = _define_choice(">")


@intrinsic
def minus_size(typing_context, value):
    """-|value|, per lane."""
    return value(value), lambda context, builder, sig, args: builder.fneg(
        _call_vector(builder, "fabs", args[0]), flags=FAST
    )


@intrinsic
def sqrt_or_zero(typing_context, value):
    """Square root; zero for negative lanes."""

    def generate(context, builder, sig, args):
        zero = constant(0.0, value.width)
        positive = builder.fcmp_ordered(">", args[0], zero, flags=FAST)
        return _call_vector(builder, "sqrt", builder.select(positive, args[0], zero))

    return value(value), generate


_SQRT_HALF_BITS = 0x3F3504F3


@intrinsic
def log2(typing_context, value):
    """log2 of positive lanes to 1e-7 (relative where it is large); rubbish for others.

    The exponent's bits, and for the mantissa m in sqrt(1/2) … sqrt(2) the series in (m - 1) / (m + 1).
    """

    def generate(context, builder, sig, args):
        whole_type, width = ints(value.width), value.width
        bits = builder.bitcast(args[0], whole_type)
        above = builder.sub(bits, ir.Constant(whole_type, [_SQRT_HALF_BITS] * width))
        exponent = builder.ashr(above, ir.Constant(whole_type, [23] * width))
        shifted = builder.shl(exponent, ir.Constant(whole_type, [23] * width))
        mantissa = builder.bitcast(builder.sub(bits, shifted), args[0].type)
        one = constant(1.0, width)
        s = builder.fdiv(builder.fsub(mantissa, one), builder.fadd(mantissa, one), flags=FAST)
        square = builder.fmul(s, s, flags=FAST)
        series = [constant(2 / (math.log(2) * (2 * k + 1)), width) for k in range(5)]
        power = series[-1]
        for coefficient in series[-2::-1]:
            power = builder.fadd(builder.fmul(power, square, flags=FAST), coefficient, flags=FAST)
        whole = builder.sitofp(exponent, args[0].type)
        return builder.fadd(builder.fmul(power, s, flags=FAST), whole, flags=FAST)

    return value(value), generate


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
        constants = [constant(c, value.width) for c in _EXP2]
        whole = _call_vector(builder, "rint", args[0])
        fraction = builder.fsub(args[0], whole)
        power = constants[-1]
        for coefficient in constants[-2::-1]:
            power = builder.fadd(builder.fmul(power, fraction, flags=FAST), coefficient, flags=FAST)
        whole_type = ints(value.width)
        exponent = builder.shl(builder.fptosi(whole, whole_type), ir.Constant(whole_type, [23] * value.width))
        return builder.bitcast(builder.add(builder.bitcast(power, whole_type), exponent), args[0].type)

    return value(value), generate


def _define_lane_rounding(name):
    @intrinsic
    def rounding(typing_context, value):
        return value(value), lambda context, builder, sig, args: _call_vector(builder, name, args[0])

    return rounding


floor_lanes = _define_lane_rounding("floor")
ceil_lanes = _define_lane_rounding("ceil")


def _define_rounding(name):
    @intrinsic
    def rounding(typing_context, scalar):
        def generate(context, builder, sig, args):
            value = context.cast(builder, args[0], sig.args[0], types.float32)
            signature_ = ir.FunctionType(FLOAT, [FLOAT])
            function = cgutils.get_or_insert_function(builder.module, signature_, f"llvm.{name}.f32")
            return builder.fptosi(builder.call(function, [value], fastmath=FAST), INT)

        return types.int32(scalar), generate

    return rounding


# math.floor and math.ceil call the C library from numba and spill every register around it.
floor_int = _define_rounding("floor")
ceil_int = _define_rounding("ceil")


@intrinsic
def float_bits(typing_context, scalar):
    """The 32 bits of a float32 as int32."""
    return types.int32(scalar), lambda context, builder, sig, args: builder.bitcast(args[0], INT)
