"""Eight or sixteen float32 lanes as numba types: LLVM vectors with Python operators.

LLVM does not vectorise the blending loops by itself, so they say what they mean: a `lanes` value holds
eight or sixteen pixels (LLVM `<8 x float>`), comparisons give masks, `select` chooses per lane. LLVM
lowers it to whatever the machine has: AVX-512, AVX, two or four SSE or NEON registers, or plain scalars.

Arrays are addressed by flat element index. All functions here work only inside kernels.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDTHS = (8, 16)
FLOAT = ir.FloatType()
INT = ir.IntType(32)
FAST = ("fast",)


class _LanesType(types.Type):
    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"emoga_lanes{width}")


class _MaskType(types.Type):
    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(name=f"emoga_mask{width}")


LANE_TYPES = {width: _LanesType(width) for width in WIDTHS}
MASK_TYPES = {width: _MaskType(width) for width in WIDTHS}


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, ir.VectorType(FLOAT, numba_type.width))


@register_model(_MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, ir.VectorType(ir.IntType(1), numba_type.width))


def floats(width: int) -> ir.VectorType:
    return ir.VectorType(FLOAT, width)


def ints(width: int) -> ir.VectorType:
    return ir.VectorType(INT, width)


def constant(value: float, width: int) -> ir.Constant:
    return ir.Constant(floats(width), [value] * width)


def as_lanes(context, builder, value, numba_type, width):
    """Broadcast a scalar; leave lanes alone."""
    if isinstance(numba_type, _LanesType):
        return value
    scalar = context.cast(builder, value, numba_type, types.float32)
    undefined = ir.Constant(floats(width), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ints(width), [0] * width))


def common_width(args) -> int | None:
    """The width of operands of which at least one is lanes and the rest scalars; None for any other."""
    widths = {a.width for a in args if isinstance(a, _LanesType)}
    scalars = all(isinstance(a, _LanesType | types.Float | types.Integer) for a in args)
    return widths.pop() if len(widths) == 1 and scalars else None


def _define_binary(symbol, results, build) -> None:
    """Give the Python operator `symbol` a meaning on lanes (and scalars mixed with lanes)."""

    @infer_global(symbol)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            width = common_width(args) if len(args) == 2 else None
            return signature(results[width], *args) if width else None

    def lower(context, builder, sig, args):
        width = common_width(sig.args)
        left = as_lanes(context, builder, args[0], sig.args[0], width)
        right = as_lanes(context, builder, args[1], sig.args[1], width)
        return build(builder, left, right)

    for one in LANE_TYPES.values():
        for operands in ((one, one), *((one, k) for k in _SCALARS), *((k, one) for k in _SCALARS)):
            lower_builtin(symbol, *operands)(lower)


_SCALARS = (types.Float, types.Integer)
for _symbol, _name in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.isub, "fsub"),
    (operator.mul, "fmul"),
    (operator.imul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define_binary(_symbol, LANE_TYPES, lambda b, x, y, name=_name: getattr(b, name)(x, y, flags=FAST))
for _symbol, _name in (
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.lt, "<"),
    (operator.le, "<="),
):
    _define_binary(_symbol, MASK_TYPES, lambda b, x, y, name=_name: b.fcmp_ordered(name, x, y, flags=FAST))


@infer_global(operator.neg)
class _Negated(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0], *args) if isinstance(args[0], _LanesType) else None


for _one in LANE_TYPES.values():
    lower_builtin(operator.neg, _one)(lambda context, builder, sig, args: builder.fneg(args[0], flags=FAST))


@infer_global(operator.and_)
class _MaskAnd(AbstractTemplate):
    def generic(self, args, kws):
        both = len(args) == 2 and isinstance(args[0], _MaskType) and args[0] == args[1]
        return signature(args[0], *args) if both else None


for _one in MASK_TYPES.values():
    lower_builtin(operator.and_, _one, _one)(lambda context, builder, sig, args: builder.and_(*args))


def _element_pointer(context, builder, array_type, array, index, index_type):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [context.cast(builder, index, index_type, types.intp)])


def _define_load(width):
    @intrinsic
    def load(typing_context, array, index):
        def generate(context, builder, sig, args):
            pointer = _element_pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1])
            return builder.load(builder.bitcast(pointer, floats(width).as_pointer()), align=4)

        return LANE_TYPES[width](array, index), generate

    return load


# Eight or sixteen elements of `array` from flat `index` on.
load = _define_load(8)
load16 = _define_load(16)


def _define_columns(count):
    @intrinsic
    def columns(typing_context, array, index):
        kind = types.UniTuple(LANE_TYPES[16], count)

        def generate(context, builder, sig, args):
            pointer = _element_pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1])
            rows = builder.load(builder.bitcast(pointer, floats(16 * count).as_pointer()), align=4)
            every = [ir.Constant(ints(16), [count * row + k for row in range(16)]) for k in range(count)]
            parts = [builder.shuffle_vector(rows, rows, picked) for picked in every]
            return context.make_tuple(builder, kind, parts)

        return kind(array, index), generate

    return columns


# Three or four columns of sixteen rows [16,3] or [16,4] that begin at flat `index`.
columns_of_3 = _define_columns(3)
columns_of_4 = _define_columns(4)


@intrinsic
def store(typing_context, array, index, value):
    """Write the lanes of `value` to `array` from flat `index` on."""

    def generate(context, builder, sig, args):
        pointer = _element_pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1])
        builder.store(args[2], builder.bitcast(pointer, args[2].type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@intrinsic
def store_whole(typing_context, array, index, value):
    """Write the lanes of `value`, which hold whole numbers, to an int32 `array` from flat `index` on."""

    def generate(context, builder, sig, args):
        pointer = _element_pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1])
        whole = builder.fptosi(args[2], ints(value.width))
        builder.store(whole, builder.bitcast(pointer, whole.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), generate


def _define_splat(width):
    @intrinsic
    def splat(typing_context, scalar):
        def generate(context, builder, sig, args):
            return as_lanes(context, builder, args[0], sig.args[0], width)

        return LANE_TYPES[width](scalar), generate

    return splat


# The same value in every lane.
splat = _define_splat(8)
splat16 = _define_splat(16)


@intrinsic
def ramp(typing_context):
    """0, 1, 2, … 7."""
    values = ir.Constant(floats(8), [float(i) for i in range(8)])
    return LANE_TYPES[8](), lambda context, builder, sig, args: values


@intrinsic
def select(typing_context, condition, where_true, where_false):
    """Per lane: `where_true` where the mask is set, else `where_false`."""

    def generate(context, builder, sig, args):
        width = condition.width
        chosen = [as_lanes(context, builder, args[i], sig.args[i], width) for i in (1, 2)]
        return builder.select(args[0], *chosen)

    return LANE_TYPES[condition.width](condition, where_true, where_false), generate


@intrinsic
def any_set(typing_context, condition):
    """True when the mask is set in at least one lane."""

    def generate(context, builder, sig, args):
        packed = ir.IntType(condition.width)
        return builder.icmp_unsigned("!=", builder.bitcast(args[0], packed), ir.Constant(packed, 0))

    return types.boolean(condition), generate


def _pair_sums(builder, a, b):
    """Sums of neighbouring lanes: in each group of four lanes two of `a`, then two of `b`."""
    width = a.type.count
    even = [4 * group + k for group in range(width // 4) for k in (0, 2, width, width + 2)]
    sides = (
        builder.shuffle_vector(a, b, ir.Constant(ints(width), [k + odd for k in even])) for odd in (0, 1)
    )
    return builder.fadd(*sides, flags=FAST)


@intrinsic
def store_totals(typing_context, array, index, a, b, c, d):
    """Write the sums over the lanes of a, b, c and d to four elements of `array`."""

    def generate(context, builder, sig, args):
        pointer = _element_pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1])
        first, second = (_pair_sums(builder, *args[k : k + 2]) for k in (2, 4))
        sums = _pair_sums(builder, first, second)
        while sums.type.count > 4:
            half = sums.type.count // 2
            low, high = (
                builder.shuffle_vector(sums, sums, ir.Constant(ints(half), list(range(at, at + half))))
                for at in (0, half)
            )
            sums = builder.fadd(low, high, flags=FAST)
        builder.store(sums, builder.bitcast(pointer, sums.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, index, a, b, c, d), generate


@intrinsic
def bit_rows(typing_context, first, stop):
    """int64 of eight bytes, one per lane, lowest first: bits first … stop - 1 (0..8) of each are set."""

    def generate(context, builder, sig, args):
        one = ir.Constant(ints(8), [1] * 8)
        below_first, below_stop = (builder.shl(one, builder.fptosi(arg, ints(8))) for arg in args)
        rows = builder.trunc(builder.sub(below_stop, below_first), ir.VectorType(ir.IntType(8), 8))
        return builder.bitcast(rows, ir.IntType(64))

    return types.int64(first, stop), generate


@intrinsic
def lowest_bit(typing_context, bits):
    """Index of the lowest bit that is set in an int64 other than 0."""
    return types.int64(bits), lambda context, builder, sig, args: builder.cttz(
        args[0], ir.Constant(ir.IntType(1), 1)
    )


@intrinsic
def at_most(typing_context, value, limit):
    """Mask of lanes whose size is at most `limit` (a constant's bits, int32), neither infinite nor NaN.

    A test on the bits of a value as loaded: after any relaxed arithmetic the compiler may take it for granted
    that there are no infinities and no NaNs, and drop the test.
    """

    def generate(context, builder, sig, args):
        whole_type = ints(value.width)
        size = builder.and_(
            builder.bitcast(args[0], whole_type), ir.Constant(whole_type, [0x7FFFFFFF] * value.width)
        )
        one = builder.insert_element(
            ir.Constant(whole_type, ir.Undefined), context.cast(builder, args[1], limit, types.int32), INT(0)
        )
        every = builder.shuffle_vector(one, one, ir.Constant(whole_type, [0] * value.width))
        return builder.icmp_signed("<=", size, every)

    return MASK_TYPES[value.width](value, limit), generate


@intrinsic
def prefetch(typing_context, array, index):
    """Ask for the cache line of flat element `index` ahead of its use."""

    def generate(context, builder, sig, args):
        byte_pointer = ir.IntType(8).as_pointer()
        pointer = _element_pointer(context, builder, sig.args[0], args[0], args[1], sig.args[1])
        signature_ = ir.FunctionType(ir.VoidType(), [byte_pointer, INT, INT, INT])
        function = cgutils.get_or_insert_function(builder.module, signature_, "llvm.prefetch.p0")
        hints = [ir.Constant(INT, hint) for hint in (0, 3, 1)]  # read, keep close, data
        builder.call(function, [builder.bitcast(pointer, byte_pointer), *hints])
        return context.get_dummy_value()

    return types.void(array, index), generate
