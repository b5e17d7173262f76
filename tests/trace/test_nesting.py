"""Parents from times, beside a stack."""

import random

import numpy as np

from flopsight.trace.nesting import parents


def with_a_stack(start, end, thread):
    found, stack, now = [-1] * len(start), [], None
    for i in sorted(range(len(start)), key=lambda i: (thread[i], start[i], -end[i], i)):
        if thread[i] != now:
            stack, now = [], thread[i]
        while stack and end[stack[-1]] <= start[i]:
            stack.pop()
        found[i] = stack[-1] if stack else -1
        stack.append(i)
    return found


def grow(rng, low, high, depth, out, thread):
    at = low
    while at < high and depth < 7:
        start = at + rng.randint(0, 4)
        end = start + rng.randint(1, max(1, (high - low) // 2))
        if end > high:
            return
        out.append((start, end, thread))
        grow(rng, start, end, depth + 1, out, thread)
        at = end


def test_random_trees():
    rng = random.Random(0)
    for _ in range(200):
        rows = []
        for thread in range(3):
            grow(rng, 0, 150, 0, rows, thread)
        rng.shuffle(rows)
        columns = [np.array(column) for column in zip(*rows, strict=True)]
        assert parents(*columns).tolist() == with_a_stack(*columns)


def test_nothing_and_one():
    none = np.empty(0, np.int64)
    assert parents(none, none, none).tolist() == []
    assert parents(*(np.array([n]) for n in (3, 5, 0))).tolist() == [-1]


def test_any_times_give_a_forest():
    """Overhanging, empty and turned-around events: no row is its own ancestor."""
    rng = np.random.default_rng(1)
    for _ in range(100):
        start = rng.integers(0, 30, 40)
        end = start + rng.integers(-2, 20, 40)
        found = parents(start, end, rng.integers(0, 2, 40))
        for row in range(40):
            seen = set()
            while row >= 0:
                assert row not in seen
                seen.add(row)
                row = int(found[row])
