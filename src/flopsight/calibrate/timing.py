"""Runs one case on a torch device and times it: median of repeats, cache flushed between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from flopsight.calibrate.cases import Case
from flopsight.stopwatch import TorchDevice

FLUSH: Final = 256 * 2**20
REPEATS: Final = 15
BUDGET: Final = 2.0
"""Seconds a case may take in all."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of a case: median, and the spread (largest - smallest) / median; `why` where it could not run."""

    case: Case
    seconds: float | None
    spread: float = 0.0
    repeats: int = 0
    why: str = ""


class Bench:
    """A torch device and the ways to run cases on it."""

    def __init__(self, device: str) -> None:
        opened = TorchDevice(device)
        self.torch, self.device, self.cuda, self.name = opened.torch, opened.device, opened.cuda, opened.name
        self._flush = self.torch.empty(FLUSH if self.cuda else 2**25, dtype=self.torch.int8, device=self.device)

    def dtypes(self) -> tuple[str, ...]:
        """Number formats that products run in here."""
        if not self.cuda:
            return ("fp32", "bf16")
        capability = self.torch.cuda.get_device_capability(self.device)
        return ("bf16", "fp8") if capability >= (8, 9) else ("bf16",) if capability >= (8, 0) else ("fp16",)

    def time(self, case: Case) -> Timed:
        """The median of repeats within the budget; a failing kernel is a reason, not an error."""
        try:
            run = self._made(case)
            run()
            return self._timed(case, run)
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            lines = str(error).splitlines()
            return Timed(case, None, why=(lines[0] if lines else type(error).__name__)[:160])

    def _timed(self, case: Case, run: Callable[[], object]) -> Timed:
        found: list[float] = []
        end = time.perf_counter() + BUDGET
        run()
        while len(found) < REPEATS and (len(found) < 3 or time.perf_counter() < end):
            if case.room not in ("launch", "graph"):
                self._flush.add_(1)
            found.append(self._once(run))
        per = case.shape.get("kernels", 1)
        middle = median(found)
        return Timed(case, middle / per, (max(found) - min(found)) / middle, len(found))

    def _once(self, run: Callable[[], object]) -> float:
        if not self.cuda:
            start = time.perf_counter()
            run()
            return time.perf_counter() - start
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        self.torch.cuda.synchronize(self.device)
        return float(begin.elapsed_time(end)) / 1e3

    # ------------------------------------------------------------ what runs

    def _made(self, case: Case) -> Callable[[], object]:
        makers = {
            "gemm": self._gemm, "attention_prefill": self._prefill, "attention_decode": self._decode,
            "norm": self._norm, "copy": self._copy, "launch": self._launch, "graph": self._graph,
        }  # fmt: skip
        return makers[case.room](case)

    def _random(self, *shape: int, dtype: str) -> Any:
        kinds = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
        return self.torch.randn(*shape, device=self.device, dtype=getattr(self.torch, kinds.get(dtype, "bfloat16")))

    def _gemm(self, case: Case) -> Callable[[], object]:
        m, n, k = (case.shape[x] for x in "mnk")
        a, b = self._random(m, k, dtype=case.dtype), self._random(n, k, dtype=case.dtype)
        if case.dtype != "fp8":
            return lambda: a @ b.T
        t, one = self.torch, self.torch.ones((), device=self.device)
        a8, b8 = a.to(t.float8_e4m3fn), b.to(t.float8_e4m3fn)
        return lambda: t._scaled_mm(a8, b8.T, one, one, out_dtype=t.bfloat16)

    def _heads(self, case: Case, queries: int) -> tuple[Any, Any, Any]:
        s = case.shape
        q = self._random(s["batch"], s["heads"], queries, s["width"], dtype=case.dtype)
        keys = [self._random(s["batch"], s["kv_heads"], s["length"], s["width"], dtype=case.dtype) for _ in range(2)]
        return q, keys[0], keys[1]

    def _prefill(self, case: Case) -> Callable[[], object]:
        q, k, v = self._heads(case, case.shape["length"])
        run = self.torch.nn.functional.scaled_dot_product_attention
        return lambda: run(q, k, v, is_causal=True, enable_gqa=True)

    def _decode(self, case: Case) -> Callable[[], object]:
        q, k, v = self._heads(case, 1)
        run = self.torch.nn.functional.scaled_dot_product_attention
        return lambda: run(q, k, v, enable_gqa=True)

    def _norm(self, case: Case) -> Callable[[], object]:
        x = self._random(case.shape["rows"], case.shape["width"], dtype=case.dtype)
        weight = self._random(case.shape["width"], dtype=case.dtype)
        return lambda: self.torch.nn.functional.rms_norm(x, (case.shape["width"],), weight)

    def _copy(self, case: Case) -> Callable[[], object]:
        source = self.torch.empty(case.shape["bytes"], dtype=self.torch.int8, device=self.device)
        target = self.torch.empty_like(source)
        return lambda: target.copy_(source)

    def _launch(self, case: Case) -> Callable[[], object]:
        x = self.torch.zeros(1, device=self.device)

        def run() -> None:
            for _ in range(case.shape["kernels"]):
                x.add_(1)

        return run

    def _graph(self, case: Case) -> Callable[[], object]:
        if not self.cuda:
            raise NotImplementedError("graphs are captured on CUDA devices only")
        run, graph = self._launch(case), self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph):
            run()
        return lambda: graph.replay()
