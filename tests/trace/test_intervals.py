"""Interval sets beside sets of single nanoseconds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flopsight.trace.intervals import NONE, union

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def made(some):
    if not some:
        return NONE
    start, end = (np.array(column, np.int64) for column in zip(*some, strict=True))
    return union(start, end)


def points(some):
    return {p for start, end in some for p in range(start, end)}


def of(found):
    return {p for start, end in zip(found.start.tolist(), found.end.tolist(), strict=True) for p in range(start, end)}


@given(pairs)
def test_a_union_is_sorted_disjoint_and_whole(some):
    found = made(some)
    assert of(found) == points(some)
    assert found.length == len(points(some))
    assert (found.end > found.start).all()
    assert (found.start[1:] > found.end[:-1]).all()


@given(pairs, pairs)
def test_set_operations(a, b):
    x, y = made(a), made(b)
    assert of(x | y) == points(a) | points(b)
    assert of(x & y) == points(a) & points(b)
    assert of(x - y) == points(a) - points(b)


@given(pairs, st.tuples(st.integers(0, 60), st.integers(0, 60)))
def test_parts_inside_one_interval(a, window):
    assert of(made(a).within(*window)) == points(a) & set(range(*window))


@given(pairs, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=8))
def test_overlap_with_intervals_that_overlap_each_other(a, others):
    start = np.array([s for s, _ in others])
    end = np.array([s + n for s, n in others])
    expected = [len(points(a) & set(range(s, s + n))) for s, n in others]
    assert made(a).overlap(start, end).tolist() == expected


@given(pairs)
def test_gaps_are_the_rest_of_the_span(a):
    found = made(a)
    if len(found):
        whole = set(range(int(found.start[0]), int(found.end[-1])))
        assert of(found.gaps()) == whole - points(a)
        assert found.span == len(whole)
