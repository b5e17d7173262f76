"""Real models of tiny size on the CPU, run under the counter, and the ledger's word for the same work."""

import copy
import warnings
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from transformers import AutoConfig

import flopsight.torch
from flopsight.counted import Counted
from flopsight.models.joined import Pair, join, lines
from flopsight.models.ledger import ledger
from flopsight.models.load import build as tree_of
from flopsight.models.paths import deepest
from flopsight.workload import Workload
from tests.oracle.framework import _class

BATCH, SEQ = 2, 19


@dataclass(frozen=True, eq=False)
class Case:
    """One model and one run of it.

    raw        its config
    inputs     a function that makes what the model is called with; None for random tokens
    workload   what the ledger is told of them, beside batch and seq
    attention  the kernels asked for; families without them run the eager ones
    cached     tokens in the cache before the run that is counted; None for no cache at all
    """

    raw: dict
    inputs: object = None
    workload: dict = field(default_factory=dict)
    architecture: str | None = None
    attention: str = "sdpa"
    experts: str = "eager"
    batch: int = BATCH
    seq: int = SEQ
    cached: int | None = None
    train: bool = False
    dtype: torch.dtype = torch.float32
    prepare: object = None


@dataclass(frozen=True)
class Result:
    """Both sides of a case.

    attention   the kernels asked for and had: "sdpa" or "eager"
    counted     the counter's whole answer
    pairs       place by place
    works       the tokens of the ledger's streams
    parts       (line, leaf, times) of every leaf, by the line of the place where it is joined
    """

    attention: str
    counted: Counted
    pairs: tuple[Pair, ...]
    works: dict
    parts: tuple

    def off(self, column):
        """{line: counted - ledger} where they differ."""
        found = {one.line: getattr(one, column) for one in lines(self.pairs)}
        return {line: n for line, n in found.items() if n}


def config_of(raw):
    raw = {k: v for k, v in copy.deepcopy(raw).items() if k not in ("quantization_config", "auto_map")}
    return AutoConfig.for_model(**raw)


@lru_cache(4)
def model_of(case):
    """The model on the CPU with random weights, and the attention kernels that it has."""
    torch.manual_seed(0)
    for attention in dict.fromkeys((case.attention, "eager")):
        config = config_of(case.raw)
        config._attn_implementation = attention
        config._experts_implementation = case.experts
        try:
            cls = _class(config.model_type, case.architecture or (case.raw.get("architectures") or [None])[0])
            model = cls(config)
        except (ValueError, ImportError, AttributeError):
            if attention == "eager":
                raise
            continue
        if case.prepare:
            case.prepare(model)
        return model.to(case.dtype).eval(), attention
    raise AssertionError


def tokens(case, seq):
    torch.manual_seed(1)
    top = min(case.raw.get("vocab_size") or 60, (case.raw.get("text_config") or {}).get("vocab_size") or 60, 60)
    return {"input_ids": torch.randint(3, top, (case.batch, seq))}


def counted_run(case):
    """Run the model once under the counter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, attention = model_of(case)
        if case.train:
            return _trained(case, model), attention
        with torch.no_grad():
            if case.cached is not None:
                return _stepped(case, model), attention
            inputs = (case.inputs or tokens)(case, case.seq)
            with flopsight.torch.counting(model) as c:
                model(**inputs, use_cache=False) if _takes_cache(model) else model(**inputs)
            return c.counted, attention


def _takes_cache(model):
    import inspect

    known = inspect.signature(model.forward).parameters
    return "use_cache" in known or "kwargs" in known


def _stepped(case, model):
    whole = (case.inputs or tokens)(case, case.cached + case.seq)["input_ids"]
    past = model(input_ids=whole[:, : case.cached], use_cache=True)
    name = "cache_params" if "cache_params" in past else "past_key_values"
    with flopsight.torch.counting(model) as c:
        model(input_ids=whole[:, case.cached :], use_cache=True, **{name: past[name]})
    return c.counted


def _trained(case, model):
    inputs = (case.inputs or tokens)(case, case.seq)
    with flopsight.torch.counting(model) as c:
        out = model(**inputs, use_cache=False) if _takes_cache(model) else model(**inputs)
        sum(t.float().sum() for t in out.values() if isinstance(t, torch.Tensor) and t.requires_grad).backward()
    model.zero_grad()
    return c.counted


def workload_of(case):
    phase = "train" if case.train else "prefill" if case.cached is None else "decode"
    return Workload(phase, case.batch, case.seq, case.cached or 0, logits="all", **case.workload)


def run(case):
    """Both sides."""
    model = tree_of(case.raw, "tiny", "the test config")
    counted, attention = counted_run(case)
    shared = flopsight.torch.shared_modules(model_of(case)[0])
    pairs = join(model, workload_of(case), counted, shared)
    line = {pair.path: pair.line for pair in pairs}
    book = ledger(model)
    parts = (
        (line[deepest(prefix, line)], one, one.times // one.stored) for one in book.leaves for prefix in one.prefixes()
    )
    return Result(attention, counted, pairs, book.works(workload_of(case)), tuple(parts))
