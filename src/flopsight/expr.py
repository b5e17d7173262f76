"""Numbers that a formula can be fed: an int, a numpy array, or a symbol.

A cost formula is written once with `+ - * //` and the four functions below. Fed ints it gives an exact int; fed
numpy arrays, a whole sweep; fed an `Expr`, the expression itself, which prints, travels as JSON, and compiles to a
fast function. All four readings agree exactly; where 64-bit integers would overflow, arrays fall back to exact
Python integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    pass

Number: TypeAlias = Any
"""An int, a numpy integer array, or an Expr. Python's type system has no word for "closed under + - *"."""

INT64_MAX = 2**63 - 1


class Expr:
    """A node of an expression over whole numbers: a constant, a symbol, or an operation on other nodes.

    op     "const", "sym", "+", "-", "*", "//", "min", "max", "where_le"
    args   (value,) for a constant, (name,) for a symbol, nodes otherwise; `where_le` takes a, b, x, y and means
           x where a <= b, else y
    """

    __slots__ = ("_hash", "args", "op")

    def __init__(self, op: str, args: tuple[Any, ...]) -> None:
        self.op = op
        self.args = args
        self._hash = hash((op, args))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Expr) and self._hash == other._hash and self.op == other.op and self.args == other.args
        )

    def __repr__(self) -> str:
        return f"Expr({text(self)})"

    def __add__(self, other: Number) -> Expr:
        return _add(self, as_expr(other))

    def __radd__(self, other: Number) -> Expr:
        return _add(as_expr(other), self)

    def __sub__(self, other: Number) -> Expr:
        other = as_expr(other)
        return self if _is(other, 0) else _fold("-", self, other)

    def __rsub__(self, other: Number) -> Expr:
        return as_expr(other) - self

    def __mul__(self, other: Number) -> Expr:
        return _mul(self, as_expr(other))

    def __rmul__(self, other: Number) -> Expr:
        return _mul(as_expr(other), self)

    def __floordiv__(self, other: Number) -> Expr:
        other = as_expr(other)
        return self if _is(other, 1) else _fold("//", self, other)

    def __rfloordiv__(self, other: Number) -> Expr:
        return as_expr(other) // self


def symbol(name: str) -> Expr:
    """A free variable."""
    return Expr("sym", (name,))


def as_expr(value: Number) -> Expr:
    """The value itself if it is an expression, else a constant."""
    return value if isinstance(value, Expr) else Expr("const", (int(value),))


def _is(node: Expr, value: int) -> bool:
    return node.op == "const" and node.args[0] == value


def _add(a: Expr, b: Expr) -> Expr:
    if _is(a, 0):
        return b
    return a if _is(b, 0) else _fold("+", a, b)


def _mul(a: Expr, b: Expr) -> Expr:
    if _is(a, 0) or _is(b, 1):
        return a
    return b if _is(b, 0) or _is(a, 1) else _fold("*", a, b)


def _fold(op: str, *args: Expr) -> Expr:
    if all(arg.op == "const" for arg in args):
        return Expr("const", (_INT[op](*(arg.args[0] for arg in args)),))
    return Expr(op, args)


def minimum(a: Number, b: Number) -> Number:
    """The smaller of two numbers, of any of the four kinds."""
    return _choose("min", a, b)


def maximum(a: Number, b: Number) -> Number:
    """The larger of two numbers, of any of the four kinds."""
    return _choose("max", a, b)


def _choose(op: str, *args: Number) -> Number:
    if any(isinstance(arg, Expr) for arg in args):
        return _fold(op, *map(as_expr, args))
    if all(isinstance(arg, int) for arg in args):
        return _INT[op](*args)
    return _array_functions()[op](*args)


def ceil_div(a: Number, b: Number) -> Number:
    """a / b rounded up, for whole numbers with b > 0."""
    return (a + b - 1) // b


def where(smaller: Number, larger: Number, then: Number, otherwise: Number) -> Number:
    """`then` where smaller <= larger, else `otherwise`."""
    return _choose("where_le", smaller, larger, then, otherwise)


_INT: dict[str, Callable[..., int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "min": min,
    "max": max,
    "where_le": lambda a, b, x, y: x if a <= b else y,
}


def _array_functions() -> dict[str, Callable[..., Any]]:
    import numpy as np

    return {
        "min": np.minimum,
        "max": np.maximum,
        "where_le": lambda a, b, x, y: np.where(np.less_equal(a, b), x, y),
    }


# ---------------------------------------------------------------- reading an expression


def evaluate(node: Number, values: Mapping[str, Number]) -> Number:
    """The number an expression has when each symbol takes its value; shared nodes are computed once."""
    memo: dict[Expr, Number] = {}

    def visit(n: Expr) -> Number:
        if n not in memo:
            memo[n] = _apply(n, values, visit)
        return memo[n]

    return visit(node) if isinstance(node, Expr) else node


def _apply(n: Expr, values: Mapping[str, Number], visit: Callable[[Expr], Number]) -> Number:
    if n.op == "const":
        return n.args[0]
    if n.op == "sym":
        return values[n.args[0]]
    args = [visit(arg) for arg in n.args]
    if n.op in ("min", "max", "where_le"):
        return _choose(n.op, *args)
    return _INT[n.op](*args)


def to_json(node: Expr) -> Any:
    """The expression as JSON: a whole number, a name, or [op, arg, ...]."""
    return node.args[0] if node.op in ("const", "sym") else [node.op, *map(to_json, node.args)]


def from_json(data: Any) -> Expr:
    """The expression that `to_json` wrote."""
    if isinstance(data, list):
        return Expr(data[0], tuple(map(from_json, data[1:])))
    return symbol(data) if isinstance(data, str) else as_expr(data)


def text(node: Number, names: Mapping[str, str] | None = None) -> str:
    """The expression for a person, `2·T·d·f`; `names` replaces symbols, say by their values."""
    return _text(as_expr(node), names or {}, 0)


_RANK = {"+": 1, "-": 1, "*": 2, "//": 2}
_SIGN = {"+": " + ", "-": " − ", "*": "·", "//": " // "}


def _text(n: Expr, names: Mapping[str, str], outer: int) -> str:
    if n.op == "const":
        return f"{n.args[0]:,}"
    if n.op == "sym":
        return names.get(n.args[0], n.args[0])
    if n.op == "where_le":
        a, b, x, y = (_text(arg, names, 0) for arg in n.args)
        return f"({x} if {a} ≤ {b} else {y})"
    if n.op not in _RANK:
        return f"{n.op}({', '.join(_text(arg, names, 0) for arg in n.args)})"
    rank = _RANK[n.op]
    left, right = n.args
    body = _text(left, names, rank) + _SIGN[n.op] + _text(right, names, rank + (n.op != "+" and n.op != "*"))
    return f"({body})" if rank < outer else body


# ---------------------------------------------------------------- compiling an expression

Monomial: TypeAlias = tuple[Expr, ...]


def collect(node: Expr) -> dict[Monomial, int]:
    """The expression multiplied out: {product of atoms: coefficient}; an atom is a symbol or a non-linear node."""
    memo: dict[Expr, dict[Monomial, int]] = {}

    def visit(n: Expr) -> dict[Monomial, int]:
        if n not in memo:
            memo[n] = _collect(n, visit)
        return memo[n]

    return visit(node)


def _collect(n: Expr, visit: Callable[[Expr], dict[Monomial, int]]) -> dict[Monomial, int]:
    if n.op == "const":
        return {(): n.args[0]} if n.args[0] else {}
    if n.op in ("+", "-"):
        sign = 1 if n.op == "+" else -1
        out = dict(visit(n.args[0]))
        for key, c in visit(n.args[1]).items():
            out[key] = out.get(key, 0) + sign * c
        return {key: c for key, c in out.items() if c}
    if n.op == "*":
        return _product(visit(n.args[0]), visit(n.args[1]))
    return {(n,): 1}


def _product(a: dict[Monomial, int], b: dict[Monomial, int]) -> dict[Monomial, int]:
    out: dict[Monomial, int] = {}
    for ka, ca in a.items():
        for kb, cb in b.items():
            key = tuple(sorted(ka + kb, key=hash))
            out[key] = out.get(key, 0) + ca * cb
    return {key: c for key, c in out.items() if c}


def compile_totals(totals: Mapping[str, Number], names: tuple[str, ...]) -> Callable[..., dict[str, Number]]:
    """A function of `names` that gives every total at once, each as a short polynomial; for ints and for arrays.

    The source text is made only from the nodes of the expressions, never from anything a user wrote.
    """
    source = _Source(names)
    results = ", ".join(f"{key!r}: {source.polynomial(collect(as_expr(total)))}" for key, total in totals.items())
    body = "\n".join(f"    {line}" for line in source.lines)
    code = (
        f"def totals({', '.join(names)}, minimum=min, maximum=max, where_le=None):\n{body}\n    return {{{results}}}\n"
    )
    space: dict[str, Any] = {}
    exec(compile(code, "<flopsight totals>", "exec"), {}, space)  # noqa: S102 - text made above from our own nodes
    return _guarded(space["totals"], {k: as_expr(v) for k, v in totals.items()}, names)


class _Source:
    """Writes an expression as Python assignments, one per distinct atom."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.lines: list[str] = ["pass"]
        self.known: dict[Expr, str] = {symbol(name): name for name in names}

    def polynomial(self, terms: dict[Monomial, int]) -> str:
        return " + ".join(self.product(key, c) for key, c in terms.items()) or "0"

    def product(self, key: Monomial, c: int) -> str:
        if not key:
            return str(c)
        factors = [self.partial(key)]
        return " * ".join(factors if c == 1 else [*factors, f"({c})"])

    def partial(self, key: Monomial) -> str:
        """A product of atoms is named once, since many totals share it."""
        if len(key) == 1:
            return self.atom(key[0])
        node = reduce(lambda a, b: Expr("*", (a, b)), key)
        if node not in self.known:
            self.assign(node, " * ".join(self.atom(atom) for atom in key))
        return self.known[node]

    def atom(self, n: Expr) -> str:
        if n not in self.known:
            args = [self.polynomial(collect(arg)) for arg in n.args]
            call = {"min": "minimum", "max": "maximum", "where_le": "where_le"}.get(n.op)
            self.assign(n, f"{call}({', '.join(args)})" if call else f"({args[0]}) // ({args[1]})")
        return self.known[n]

    def assign(self, n: Expr, value: str) -> None:
        name = f"_{len(self.lines)}"
        self.lines.append(f"{name} = {value}")
        self.known[n] = name


def _guarded(
    function: Callable[..., dict[str, Number]], totals: dict[str, Expr], names: tuple[str, ...]
) -> Callable[..., dict[str, Number]]:
    integer = _INT["where_le"]

    def run(*values: Number) -> dict[str, Number]:
        if all(type(value) is int for value in values):
            return function(*values, where_le=integer)
        arrays = _exact_arrays(totals, names, values)
        np_functions = _array_functions()
        return function(*arrays, np_functions["min"], np_functions["max"], np_functions["where_le"])

    return run


def _exact_arrays(totals: dict[str, Expr], names: tuple[str, ...], values: tuple[Number, ...]) -> list[Number]:
    """The values as int64 arrays where no step can overflow, else as arrays of Python integers."""
    import numpy as np

    arrays = [np.asarray(value) for value in values]
    tops = {name: int(np.max(np.abs(a), initial=0)) for name, a in zip(names, arrays, strict=True)}
    memo: dict[Expr, int] = {}
    safe = all(_bound(total, tops, memo) <= INT64_MAX for total in totals.values())
    return [a.astype(np.int64 if safe else object) for a in arrays]


def _bound(node: Expr, tops: Mapping[str, int], memo: dict[Expr, int]) -> int:
    """No intermediate value of the multiplied-out expression is larger than this in size."""
    return sum(abs(c) * _size(key, tops, memo) for key, c in collect(node).items())


def _size(key: Monomial, tops: Mapping[str, int], memo: dict[Expr, int]) -> int:
    return reduce(lambda size, atom: size * _atom_bound(atom, tops, memo), key, 1)


def _atom_bound(n: Expr, tops: Mapping[str, int], memo: dict[Expr, int]) -> int:
    if n not in memo:
        if n.op == "sym":
            memo[n] = tops[n.args[0]]
        elif n.op == "//":
            memo[n] = _bound(n.args[0], tops, memo)
        else:
            # the arguments themselves must be representable too, so take the largest of them
            memo[n] = max(_bound(arg, tops, memo) for arg in n.args)
    return memo[n]
