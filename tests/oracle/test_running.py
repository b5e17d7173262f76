"""Our counts beside a model that really runs: training FLOPs by dispatch, and the cache it keeps."""

import logging
import warnings

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from flopsight.models.ledger import Ledger
from flopsight.models.load import build
from flopsight.workload import Workload

logging.getLogger("transformers").setLevel(logging.ERROR)

SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 101, "head_dim": 16}
MODELS = {
    "llama": SMALL | {"num_key_value_heads": 2, "intermediate_size": 96},
    "qwen3": SMALL | {"num_key_value_heads": 2, "intermediate_size": 96, "tie_word_embeddings": True},
    "gemma2": SMALL | {"num_key_value_heads": 2, "intermediate_size": 96, "sliding_window": 512},
    "mixtral": SMALL
    | {"num_key_value_heads": 2, "intermediate_size": 48, "num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 101, "n_positions": 128},
    "olmo2": SMALL | {"num_key_value_heads": 4, "intermediate_size": 96},
}


def running(model_type):
    raw = MODELS[model_type] | {"model_type": model_type}
    config = AutoConfig.for_model(**raw, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    config._attn_implementation, config._experts_implementation = "eager", "batched_mm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    return Ledger(build(raw, model_type, "test")), model.float()


@pytest.mark.oracle
@pytest.mark.parametrize("model_type", MODELS)
def test_training_is_three_times_the_forward_pass(model_type):
    """Forward and backward as dispatched, attention over the whole square: 3 x our full square, exactly."""
    book, model = running(model_type)
    tokens = torch.randint(0, 101, (2, 48))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with FlopCounterMode(display=False) as counter:
            model(input_ids=tokens, use_cache=False).logits.float().sum().backward()
    assert book.total(Workload("train", 2, 48, logits="all")).full == counter.get_total_flops()


@pytest.mark.oracle
@pytest.mark.parametrize("model_type", MODELS)
def test_the_cache_is_the_one_the_model_keeps(model_type):
    book, model = running(model_type)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        kept = model(input_ids=torch.randint(0, 101, (2, 37)), use_cache=True).past_key_values
    elements = sum(layer.keys.numel() + layer.values.numel() for layer in kept.layers)
    assert elements == 2 * book.cache_elements(37)
    assert elements == 2 * 37 * book.cache_per_token


def test_the_oracle_is_the_pinned_one():
    assert transformers.__version__ == "5.23.0"
