"""Speed of predictions beside llm-analysis 0.2.2 in the same run; called by tools/bench.py.

One prediction here is the decode step of one batch at one context; there it is `LLMAnalysis.inference`, which gives a
prefill and a decode latency. The peer comes from PyPI into a folder of its own (`make bench` fetches it).
"""

import logging
import sys
import time
from pathlib import Path

import numpy as np

from flopsight.hardware.catalog import find
from flopsight.models.ledger import ledger
from flopsight.models.load import load
from flopsight.plan import Formats, Plan
from flopsight.predict.device import device_of
from flopsight.predict.forward import forward

PEERS = Path(__file__).parent.parent / ".venv" / "peers"
POINTS = 1_000_000


def made(name, chip="h100-sxm", tp=8):
    return forward(ledger(load(name)), device_of(find(chip)), Plan(tp=tp), Formats())


def plain(name, n=5000):
    """Seconds a prediction, one at a time, model and chip cached."""
    one = made(name)
    one.seconds(1, 1, 1, decode=True)
    start = time.perf_counter()
    for i in range(n):
        one.seconds(1 + i % 64, 1, 100 + i, decode=True)
    return (time.perf_counter() - start) / n


def vectorized(name):
    """Seconds a prediction, a million at once."""
    one = made(name)
    rng = np.random.default_rng(0)
    batch, past = rng.integers(1, 512, POINTS), rng.integers(1, 100_000, POINTS)
    one.seconds(1, 1, 1, decode=True)
    start = time.perf_counter()
    one.seconds(batch, 1, past, decode=True)
    return (time.perf_counter() - start) / POINTS


def peer(n=300):
    """Seconds a call of llm-analysis, or None where it is not there."""
    if not (PEERS / "llm_analysis").is_dir():
        return None
    sys.path.insert(0, str(PEERS))
    logging.getLogger("llm_analysis").setLevel(logging.CRITICAL)
    from llm_analysis.analysis import LLMAnalysis
    from llm_analysis.config import (
        ParallelismConfig,
        get_dtype_config_by_name,
        get_gpu_config_by_name,
        get_model_config_by_name,
    )  # fmt: skip
    from llm_analysis.logger import logger

    logger.setLevel(logging.CRITICAL)
    configs = get_model_config_by_name("facebook_opt-66b"), get_gpu_config_by_name("a100-sxm-80gb")
    one = LLMAnalysis(*configs, get_dtype_config_by_name("w16a16e16"), ParallelismConfig(tp_size=8))
    start = time.perf_counter()
    for i in range(n):
        one.inference(batch_size_per_gpu=1 + i % 32, seq_len=1024, num_tokens_to_generate=32)
    return (time.perf_counter() - start) / n


def rows():
    """One row a model and way, with the peer as the baseline."""
    baseline = peer()
    found = []
    for name in ("opt-66b", "llama-3.1-70b", "deepseek-v3"):
        for how, measure in (("one prediction", plain), ("a prediction of a million", vectorized)):
            seconds = min(measure(name) for _ in range(3))
            found.append({"what": f"{how}, {name}", "seconds": seconds, "baseline_seconds": baseline})
    return found
