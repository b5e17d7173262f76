"""The dispatch mode that sees every op of a running program and adds its work up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch._ops import HigherOrderOperator
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from flopsight.cost import Engine
from flopsight.counted import Amount, Bytes, Counted, During, Flops, Row, Uncounted
from flopsight.torch import higher_order
from flopsight.torch.areas import PRODUCTS, Areas
from flopsight.torch.call import Call, tensors
from flopsight.torch.passes import Whereabouts
from flopsight.torch.plan import OpPlan, plan_of
from flopsight.torch.registry import Answer, Assumed, Uncountable
from flopsight.torch.traffic import read_bytes, written_bytes

PLAIN: Final = frozenset({torch.Tensor, torch.nn.Parameter, torch.nn.Buffer, FakeTensor})
NOTHING: Final = Flops()
Key = tuple[str, OpPlan, During, torch.dtype]
_Tensor: Final = torch.Tensor


class CountingMode(TorchDispatchMode):
    """Counts while it is entered; `rows` by (module, op, pass, dtype) hold running sums.

    A row is [calls, required, full square, executed, vector FLOPs, bytes read, bytes written].
    """

    supports_higher_order_operators = True

    def __init__(self, passes: Whereabouts) -> None:
        super().__init__()
        self.passes = passes
        self.rows: dict[Key, list[int]] = {}
        self.missing: dict[tuple[str, str, str], int] = {}
        self.notes: dict[str, None] = {}
        self.areas = Areas(self.note)
        self._plans: dict[int, OpPlan] = {}
        self._known: dict[Any, bool] = {}
        self.real: Callable[[Any], Any] | None = None
        """What gives an abstract tensor's values to formulas, if anything does."""
        self.launches = 0
        """Triton kernels launched, `inside` how many unknown ops deep, and whether launches are `deaf`ened."""
        self.inside = 0
        self.deaf = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: nothing is compiled while this mode is on, and torch's guard against it costs as much as the mode."""
        return False

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the op, then add its work up."""
        if types and not self._known.get(types) and not self._plain(types):
            return NotImplemented  # a subclass (DTensor, quantized) unpacks itself; its plain ops come back here
        plan = self._plans.get(id(op))  # an OpOverload hashes in Python; it lives as long as the process
        if plan is None:
            if isinstance(op, HigherOrderOperator):
                return higher_order.run(self, op, args, kwargs or {})
            plan = self._plans[id(op)] = plan_of(op)
        do = plan.do
        if do == "nothing":
            return op(*args, **kwargs) if kwargs else op(*args)
        if do == "open":
            with self:
                return op.decompose(*args, **(kwargs or {}))
        if do == "strange":
            return self._strange(op, plan, args, kwargs or {})
        out = op(*args, **kwargs) if kwargs else op(*args)
        if do == "elements":
            self._add_elements(plan, args, kwargs, out)
        elif do == "formula":
            self.add_product(op, plan, args, kwargs or {}, out)
        return out

    def _strange(self, op: Any, plan: OpPlan, args: Any, kwargs: Any) -> Any:
        """A custom op without formula: where it launches Triton kernels, they are its work."""
        before = self.launches
        self.inside += 1
        try:
            out = op(*args, **kwargs)
        finally:
            self.inside -= 1
        if self.launches == before:
            self._add_elements(plan, args, kwargs, out)
        return out

    def count(self, op: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Add the work of an op up that ran elsewhere."""
        plan = self._plans.setdefault(id(op), plan_of(op))
        if plan.do == "formula":
            self.add_product(op, plan, args, kwargs, out)
        elif plan.do in ("elements", "strange"):
            self._add_elements(plan, args, kwargs, out)

    def trial(self) -> CountingMode:
        """A counter of its own for a program that may not count, or not once."""
        other = CountingMode(self.passes)
        other._plans = self._plans
        return other

    def weight(self) -> tuple[int, int]:
        """FLOPs executed and vector FLOPs, to tell the larger of two."""
        return sum(row[3] for row in self.rows.values()), sum(row[4] for row in self.rows.values())

    def absorb(self, other: CountingMode) -> None:
        """Add what another counted."""
        for key, sums in other.rows.items():
            mine = self.rows.get(key, [0] * len(sums))
            self.rows[key] = [a + b for a, b in zip(mine, sums, strict=True)]
        for missed, calls in other.missing.items():
            self.missing[missed] = self.missing.get(missed, 0) + calls
        self.notes |= other.notes

    def _plain(self, types: Any) -> bool:
        self._known[types] = PLAIN.issuperset(types)
        return self._known[types]

    def _row(self, plan: OpPlan, args: Any, out: Any) -> tuple[list[int], str, During]:
        module, during = self.passes.now()
        first = args[0] if args else out
        key = (module, plan, during, first.dtype if isinstance(first, _Tensor) else _dtype(args, out))
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = [0, 0, 0, 0, 0, 0, 0]
        row[0] += 1
        return row, module, during

    def _add_elements(self, plan: OpPlan, args: Any, kwargs: Any, out: Any) -> None:
        row, module, _ = self._row(plan, args, out)
        elementwise, reads, writes = plan.elements(args, kwargs, out)
        row[4] += elementwise
        row[5] += reads
        row[6] += writes
        if self.areas:
            self.areas.elements(plan.schema, args, out, self.real)
        if plan.missing:
            self.miss(plan.name, module, plan.missing)

    def add_product(self, op: Any, plan: OpPlan, args: Any, kwargs: Any, out: Any) -> None:
        """Work that is run again or that optimizes is executed, not required."""
        row, module, during = self._row(plan, args, out)
        known = (args, kwargs) if self.real is None else tree_map(self.real, (args, kwargs))
        flops, moved = _asked(plan, Call(op, known[0], known[1], out))
        if flops.__class__ is not Flops:
            flops = self._said(plan, module, flops)
        if during in ("forward", "backward"):
            row[1] += flops.required
            row[2] += flops.full_square
        row[3] += flops.executed
        if plan.schema in PRODUCTS:
            self.areas.product(args, out, row, flops.required if during in ("forward", "backward") else 0)
        row[5] += read_bytes(args, kwargs) if moved is None else moved.reads
        row[6] += written_bytes(out) if moved is None else moved.writes

    def _said(self, plan: OpPlan, module: str, answer: Any) -> Flops:
        """The FLOPs of an answer that says more."""
        if isinstance(answer, Assumed):
            self.note(answer.note)
            return answer.flops
        self.miss(plan.name, module, answer.why)
        return NOTHING

    def miss(self, op: str, module: str, why: str) -> None:
        """Say that an op's FLOPs are missing."""
        key = (op, module, why)
        self.missing[key] = self.missing.get(key, 0) + 1

    def note(self, text: str) -> None:
        """Say what was taken for granted, once."""
        self.notes[text] = None

    def counted(self) -> Counted:
        """What was counted until now."""
        missing = (Uncounted(op, calls, why, module) for (op, module, why), calls in self.missing.items())
        return Counted(tuple(_as_row(*item) for item in self.rows.items()), tuple(missing), tuple(self.notes))


def _asked(plan: OpPlan, call: Call) -> tuple[Answer, Bytes | None]:
    """The formula's answer; one that fails must not fail the program that is counted."""
    assert plan.formula is not None
    try:
        return plan.formula(call)
    except Exception as error:  # noqa: BLE001 - formulas may be the user's
        return Uncountable(f"its formula failed: {type(error).__name__}: {error}"), None


def _as_row(key: Key, sums: list[int]) -> Row:
    module, plan, during, dtype = key
    engine: Engine = "matrix" if plan.do == "formula" else "vector"
    amount = Amount(sums[0], Flops(*sums[1:4]), sums[4], Bytes(sums[5], sums[6]))
    return Row(module, plan.name, during, dtype_name(dtype), engine, amount)


def _dtype(args: Any, out: Any) -> torch.dtype:
    return next((t.dtype for t in tensors((*args, out))), torch.float32)


def dtype_name(dtype: torch.dtype) -> str:
    """Our word for a torch number format: "bf16"."""
    return NAMES.get(dtype, str(dtype).removeprefix("torch."))


NAMES: Final = {
    torch.float64: "fp64", torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16",
    torch.float8_e4m3fn: "fp8_e4m3", torch.float8_e5m2: "fp8_e5m2", torch.float8_e4m3fnuz: "fp8_e4m3",
    torch.float8_e5m2fnuz: "fp8_e5m2",
}  # fmt: skip
