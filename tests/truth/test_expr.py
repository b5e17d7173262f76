"""The four readings of a formula agree exactly: int, numpy array, expression, and expression through JSON."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flopsight.expr import (
    ceil_div,
    collect,
    compile_totals,
    evaluate,
    from_json,
    maximum,
    minimum,
    symbol,
    to_json,
    where,
)

small = st.integers(0, 5000)


def formulas():
    """Random formulas of a, b, c built with the operators that parts use."""
    names = st.sampled_from(["a", "b", "c"])
    leaf = st.one_of(names.map(lambda n: ("sym", n)), st.integers(0, 50).map(lambda k: ("const", k)))

    def grow(inner):
        two = st.tuples(st.sampled_from(["+", "-", "*", "min", "max"]), inner, inner)
        divided = st.tuples(st.sampled_from(["//", "ceil"]), inner, st.integers(1, 9))
        return st.one_of(two, divided, st.tuples(st.just("where"), inner, inner, inner, inner))

    return st.recursive(leaf, grow, max_leaves=8)


def run(f, values):
    op, *args = f
    if op == "sym":
        return values[args[0]]
    if op == "const":
        return args[0]
    if op in ("//", "ceil"):
        return (run(args[0], values) // args[1]) if op == "//" else ceil_div(run(args[0], values), args[1])
    parts = [run(arg, values) for arg in args]
    known = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "min": minimum, "max": maximum}
    return where(*parts) if op == "where" else known[op](*parts)


@given(formulas(), small, small, small)
@settings(max_examples=200, deadline=None)
def test_four_readings_agree(f, a, b, c):
    values = {"a": a, "b": b, "c": c}
    truth = run(f, values)
    tree = run(f, {name: symbol(name) for name in "abc"})
    again = tree if isinstance(tree, int) else from_json(json.loads(json.dumps(to_json(tree))))
    compiled = compile_totals({"x": tree}, ("a", "b", "c"))
    arrays = compiled(np.array([a, a]), np.array([b, b]), np.array([c, c]))["x"]
    assert evaluate(tree, values) == truth
    assert evaluate(again, values) == truth
    assert compiled(a, b, c)["x"] == truth
    assert all(int(x) == truth for x in np.broadcast_to(arrays, (2,)))


def test_arrays_that_would_overflow_stay_exact():
    n = symbol("n")
    run_it = compile_totals({"x": n * n * n}, ("n",))
    assert int(run_it(np.array([10**7]))["x"][0]) == 10**21


def test_collecting_multiplies_out():
    a, b = symbol("a"), symbol("b")
    terms = collect((a + b) * (a - b))
    assert sorted(terms.values()) == [-1, 1]


def test_totals_that_share_an_atom_do_not_overwrite_it():
    n = symbol("n")
    twice = 2 * minimum(n, 60)
    totals = compile_totals({"alone": twice * 24, "product": 3 * n * twice, "again": twice}, ("n",))
    assert totals(7) == {"alone": 336, "product": 294, "again": 14}
