"""Name patterns from configs: literals, globs and regular expressions, matched in bounded time whoever wrote them.

Regular expressions are parsed by the standard library and walked as sets of positions instead of by backtracking, with
a budget of steps, so `(a+)+$` costs no more than `a+$`. Back references and look-behind are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from re import _constants as c  # type: ignore[attr-defined]  # there is no public parser of regular expressions
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

LONGEST = 4_000
MOST_STEPS = 100_000
MOST_PATTERNS = 200_000
MOST_EXPRESSIONS = 2_000


class BadPatternError(ValueError):
    """A pattern that cannot be used; a sentence says why."""


@lru_cache(4096)
def expression(pattern: str) -> Expression:
    """The pattern, parsed once."""
    return Expression(pattern)


class Expression:
    """A regular expression that is matched in bounded time."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > LONGEST:
            raise BadPatternError(f"a name pattern of {len(pattern):,} characters is longer than {LONGEST:,}")
        try:
            self.tree = parser.parse(pattern)
        except (re.error, RecursionError, OverflowError, ValueError) as error:
            raise BadPatternError(f"the name pattern {pattern[:80]!r} is no regular expression ({error})") from error
        if self.tree.state.flags & ~re.UNICODE.value:
            raise BadPatternError(f"the name pattern {pattern[:80]!r} sets flags")
        self.pattern = pattern

    def ends(self, text: str) -> set[int]:
        """Positions at which a match that starts at the beginning can end."""
        try:
            return _Walk(text).sequence(self.tree, {0})
        except (_RefusedError, RecursionError) as error:
            raise BadPatternError(f"the name pattern {self.pattern[:80]!r} cannot be followed: {error}") from error


class _RefusedError(Exception):
    pass


class _Walk:
    """One walk over one text; positions are kept as sets, so no path is followed twice."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.left = MOST_STEPS

    def sequence(self, items: Iterable[tuple[Any, Any]], at: set[int]) -> set[int]:
        for op, value in items:
            self.left -= 1 + len(at)
            if self.left < 0:
                raise _RefusedError("it takes too many steps")
            at = self._step(op, value, at)
            if not at:
                return at
        return at

    def _step(self, op: Any, value: Any, at: set[int]) -> set[int]:
        if op in (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN):
            return {p + 1 for p in at if p < len(self.text) and _fits(op, value, self.text[p])}
        if op in (c.MAX_REPEAT, c.MIN_REPEAT):
            low, high, item = value
            return self._repeat(low, high, item, at)
        if op is c.SUBPATTERN and not value[1] and not value[2]:
            return self.sequence(value[3], at)
        if op is c.BRANCH:
            return set().union(*(self.sequence(one, at) for one in value[1]))
        if op in (c.ASSERT, c.ASSERT_NOT) and value[0] == 1:
            return {p for p in at if bool(self.sequence(value[1], {p})) == (op is c.ASSERT)}
        if op is c.AT:
            return {p for p in at if self._anchored(value, p)}
        raise _RefusedError(f"it uses {str(op).lower()}")

    def _repeat(self, low: int, high: int, item: Any, at: set[int]) -> set[int]:
        # more rounds than characters change nothing: what can match is empty, and empty again
        rounds = min(low, len(self.text) + 1)
        for _ in range(rounds):
            at = self.sequence(item, at)
        found, fresh = set(at), at
        while fresh and rounds < high:
            fresh = self.sequence(item, fresh) - found
            found |= fresh
            rounds += 1
        return found

    def _anchored(self, where: Any, p: int) -> bool:
        if where in (c.AT_BEGINNING, c.AT_BEGINNING_STRING):
            return p == 0
        if where in (c.AT_END, c.AT_END_STRING):
            return p == len(self.text)
        if where in (c.AT_BOUNDARY, c.AT_NON_BOUNDARY):
            sides = [0 <= i < len(self.text) and _word(self.text[i]) for i in (p - 1, p)]
            return (sides[0] != sides[1]) == (where is c.AT_BOUNDARY)
        raise _RefusedError("it uses an unknown anchor")


def _word(one: str) -> bool:
    return one.isalnum() or one == "_"


_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    c.CATEGORY_DIGIT: str.isdecimal,
    c.CATEGORY_SPACE: str.isspace,
    c.CATEGORY_WORD: _word,
    c.CATEGORY_NOT_DIGIT: lambda one: not one.isdecimal(),
    c.CATEGORY_NOT_SPACE: lambda one: not one.isspace(),
    c.CATEGORY_NOT_WORD: lambda one: not _word(one),
}


def _fits(op: Any, value: Any, one: str) -> bool:
    if op in (c.LITERAL, c.NOT_LITERAL):
        return bool(ord(one) == value) == (op is c.LITERAL)
    if op is c.ANY:
        return one != "\n"
    if op is c.RANGE:
        return bool(value[0] <= ord(one) <= value[1])
    if op is c.CATEGORY:
        return bool(_CATEGORIES[value](one))
    wanted = bool(value[0][0] is not c.NEGATE)
    return any(_fits(item[0], item[1], one) for item in value if item[0] is not c.NEGATE) == wanted


def glob(pattern: str) -> str:
    """A shell pattern as a regular expression; only `*` and `?` are special."""
    return "".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in pattern)


def ancestors(name: str) -> Iterator[str]:
    """The name and every module above it: a.b.c, a.b, a."""
    while name:
        yield name
        name = name.rpartition(".")[0]


class Names:
    """A set of name patterns under one of the rules in use.

    "transformers"  `modules_to_not_convert`: a regular expression from the start to the end of a module's name, or a
                    literal that is a run of whole steps or an ending of it
    "compressed"    compressed-tensors: `re:` and a regular expression from the start, else the exact name
    "glob"          modelopt: shell patterns of a module or of one above it
    "regex"         GPTQModel: a regular expression from the start
    """

    def __init__(self, patterns: Iterable[str], rule: str) -> None:
        self.rule = rule
        self.literal: set[str] = set()
        self.written: list[str] = []
        for pattern in patterns:
            self._add(pattern)
        if len(self.written) > MOST_EXPRESSIONS or len(self.literal) > MOST_PATTERNS:
            raise BadPatternError(f"{len(self.written) + len(self.literal):,} name patterns are too many")
        self._endings = tuple(self.literal)

    def __bool__(self) -> bool:
        return bool(self.literal or self.written)

    @property
    def indexed(self) -> bool:
        """Whether some pattern may tell one layer from another."""
        return any("\\d" in p or any(map(str.isdigit, p)) for p in (*self.literal, *self.written))

    def _add(self, pattern: str) -> None:
        if self.rule == "compressed":
            marked = pattern.startswith("re:")
            self.written.append(pattern[3:]) if marked else self.literal.add(pattern)
        elif self.rule == "glob":
            marked = "*" in pattern or "?" in pattern
            self.written.append(glob(pattern)) if marked else self.literal.add(pattern)
        elif self.rule == "transformers":
            marked = re.fullmatch(r"[\w.\-]*", pattern) is None
            self.written.append(pattern) if marked else self.literal.add(pattern.strip("."))
        else:
            self.written.append(pattern)

    def match(self, names: Iterable[str]) -> bool:
        """Whether one of a module's names is meant."""
        return any(self._literally(n) or any(self._expressed(p, n) for p in self.written) for n in names)

    def _literally(self, name: str) -> bool:
        if self.rule == "compressed" or not self.literal:
            return name in self.literal
        if any(one in self.literal for one in ancestors(name)):
            return True
        return self.rule == "transformers" and (name.endswith(self._endings) or self._inside(name))

    def _inside(self, name: str) -> bool:
        steps = name.split(".")
        spans = ((i, j) for i in range(1, len(steps)) for j in range(i + 1, len(steps) + 1))
        return any(".".join(steps[i:j]) in self.literal for i, j in spans)

    def _expressed(self, pattern: str, name: str) -> bool:
        ends = expression(pattern).ends(name)
        if self.rule == "glob":
            return any(e == len(name) or name[e] == "." for e in ends)
        if self.rule == "transformers":
            return any(e == len(name) or name[e] == "." or (e and name[e - 1] == ".") for e in ends)
        return bool(ends)
