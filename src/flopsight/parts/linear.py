"""A stored matrix applied to every token, a stored parameter that is only added or scaled by, and an embedding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from flopsight.cost import Op, elementwise, matmul
from flopsight.parts.part import NO_CACHE, Cache, Tensor
from flopsight.workload import Work


@dataclass(frozen=True, slots=True)
class Linear:
    """y = W·x + b on every token of its stream.

        2·T·m·n FLOPs        T tokens, m inputs, n outputs

    transposed  stored [m, n] instead of [n, m] (GPT-2's Conv1D)
    groups      block-diagonal: g blocks of m/g inputs and n/g outputs, 2·T·m·n/g FLOPs
    tied        executed here, stored elsewhere (a tied head)
    The bias is added by the vector engine, n FLOPs a token.
    """

    kind: str
    inputs: int
    outputs: int
    bias: bool = False
    transposed: bool = False
    groups: int = 1
    tied: bool = False
    weight: str = "weight"

    letters: ClassVar[dict[str, str]] = {"inputs": "m", "outputs": "n", "groups": "g"}

    def tensors(self) -> Iterator[Tensor]:
        """`weight`, and `bias` if there is one."""
        m = self.inputs // self.groups
        if not self.tied:
            yield Tensor(self.weight, (m, self.outputs) if self.transposed else (self.outputs, m))
        if self.bias:
            yield Tensor("bias", (self.outputs,))

    def ops(self, work: Work) -> Iterator[Op]:
        """One matmul, and the addition of the bias."""
        yield matmul("matmul", work.tokens, self.inputs // self.groups, self.outputs)
        if self.bias:
            yield elementwise("bias", work.tokens * self.outputs, 1)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE


@dataclass(frozen=True, slots=True)
class Parameter:
    """A stored tensor that is added, multiplied or broadcast, never contracted.

    per_token  FLOPs each token spends on it (0: a table that is only looked up or a constant)
    """

    kind: str
    shape: tuple[int, ...]
    per_token: int = 0

    letters: ClassVar[dict[str, str]] = {}

    def tensors(self) -> Iterator[Tensor]:
        """The tensor itself, named by its place in the tree."""
        yield Tensor("", self.shape)

    def ops(self, work: Work) -> Iterator[Op]:
        """`per_token` vector FLOPs a token."""
        if self.per_token:
            yield elementwise("apply", work.tokens * self.per_token, 1)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE


@dataclass(frozen=True, slots=True)
class Buffer:
    """Values stored in the checkpoint that are not parameters (a router's correction bias, a position table).

    per_token  FLOPs each token spends on it; None is one for each value
    """

    kind: str
    shape: tuple[int, ...]
    per_token: int | None = None

    letters: ClassVar[dict[str, str]] = {}

    def tensors(self) -> Iterator[Tensor]:
        """One tensor, marked as a buffer; it is in no parameter count."""
        yield Tensor("", self.shape, buffer=True)

    def ops(self, work: Work) -> Iterator[Op]:
        """`per_token` additions a token."""
        each = prod(self.shape) if self.per_token is None else self.per_token
        yield elementwise("apply", work.tokens * each, 1)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE


@dataclass(frozen=True, slots=True)
class Embedding:
    """A table of which each token reads one row: no FLOPs, T·d elements moved.

    V rows of width d. Counting it as a matmul doubles small models and is never done here.
    """

    rows: int
    width: int
    kind: str = "embedding"
    tied: bool = False

    letters: ClassVar[dict[str, str]] = {"rows": "V", "width": "d"}

    def tensors(self) -> Iterator[Tensor]:
        """`weight`, unless another module stores it."""
        if not self.tied:
            yield Tensor("weight", (self.rows, self.width))

    def ops(self, work: Work) -> Iterator[Op]:
        """A lookup."""
        moved = work.tokens * self.width
        yield Op("lookup", "vector", 0, 0, 0, reads=moved, writes=moved)

    def cache(self) -> Cache:
        """Nothing."""
        return NO_CACHE
