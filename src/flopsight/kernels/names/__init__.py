"""Tables of words that kernels of each maker have in their names; the first table, and in it the first row, wins.

A row is (kind, words). A word is looked for as it stands in the words of a name (see `kernels.words`); "a+b" wants
both, and "^a" wants the name to begin with it.
"""

from typing import TypeAlias

Rows: TypeAlias = tuple[tuple[str, str], ...]
