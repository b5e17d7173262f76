"""How many query-key pairs a causal flag or a window lets through, in closed form."""

from __future__ import annotations


def pairs_up_to(queries: int, keys: int, last: int) -> int:
    """Pairs with key <= query + last: the sum over queries i of i + last + 1, held between 0 and keys."""
    first = max(0, -last)  # queries before this one see nothing
    if first >= queries:
        return 0
    full = min(queries, max(first, keys - last - 1))  # queries from this one on see every key
    return (full - first) * (first + full + 2 * last + 1) // 2 + (queries - full) * keys


def window_pairs(queries: int, keys: int, left: int | None = None, right: int | None = None, shift: int = 0) -> int:
    """Pairs of one head and sequence where key j lies within query i's window.

        i + shift - left <= j <= i + shift + right

    left, right   None or negative: no limit on that side; causal is right = 0
    shift         0 aligns first query with first key (top left), keys - queries the last ones (bottom right)
    """
    inside = queries * keys if _open(right) else pairs_up_to(queries, keys, shift + _int(right))
    before = 0 if _open(left) else pairs_up_to(queries, keys, shift - _int(left) - 1)
    return max(0, inside - before)


def causal_pairs(queries: int, keys: int) -> int:
    """Pairs of a causal mask aligned at the top left: query i sees keys 0..i."""
    return window_pairs(queries, keys, right=0)


def _open(side: int | None) -> bool:
    return side is None or side < 0


def _int(side: int | None) -> int:
    return 0 if side is None else int(side)
