"""Tables of words, made ready for looking up."""

from __future__ import annotations

from typing import TypeAlias

from flopsight.kernels.names import Rows

Table: TypeAlias = tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]


def table(*parts: Rows) -> Table:
    """The rows of several tables in order, "a+b" split into its words."""
    return tuple((label, tuple(tuple(w.split("+")) for w in words.split())) for rows in parts for label, words in rows)


def first(rows: Table, text: str) -> str | None:
    """Label of the first row of which a word (all parts of it) is in the text."""
    for label, patterns in rows:
        for words in patterns:
            if _holds(words[0], text) and all(_holds(word, text) for word in words[1:]):
                return label
    return None


def _holds(word: str, text: str) -> bool:
    """Whether a text begins with "^word", or has "word" anywhere, or has not "!word"."""
    mark = word[0]
    if mark == "^":
        return text.startswith(word[1:])
    return word[1:] not in text if mark == "!" else word in text
