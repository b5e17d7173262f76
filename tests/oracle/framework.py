"""What transformers (pinned in the dev extra) says of a config: names, shapes and traced matmul FLOPs, on meta.

Eager attention and `batched_mm` experts, so that the trace holds exactly the dense score square and top-k experts.
"""

import copy
import logging
import warnings
from functools import lru_cache

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig
from transformers.models.auto import modeling_auto as auto

logging.getLogger("transformers").setLevel(logging.ERROR)

# the class an architecture-less config is built as, tried in this order
MAPPINGS = (
    auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
    auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    auto.MODEL_MAPPING_NAMES,
)


def build(raw, architecture=None):
    """The model of a config dict, on the meta device, in eval mode."""
    raw = {k: v for k, v in copy.deepcopy(raw).items() if k not in ("quantization_config", "auto_map")}
    model_type = {"kimi_k2": "deepseek_v3"}.get(raw["model_type"], raw["model_type"])
    raw["model_type"] = model_type
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = AutoConfig.for_model(**raw)
        cls = _class(model_type, architecture or (raw.get("architectures") or [None])[0])
        config._attn_implementation = "eager"
        config._experts_implementation = "batched_mm"
        with torch.device("meta"):
            model = cls(config)
    return model.eval()


def _class(model_type, architecture):
    if architecture and hasattr(transformers, architecture):
        return getattr(transformers, architecture)
    for mapping in MAPPINGS:
        name = mapping.get(model_type)
        if name:
            return getattr(transformers, name if isinstance(name, str) else name[0])
    raise LookupError(model_type)


def parameters(model):
    """{name: shape}, a tied tensor once."""
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def buffers(model):
    """{name: shape} of persistent buffers, which a checkpoint holds."""
    state = set(model.state_dict())
    return {name: tuple(b.shape) for name, b in model.named_buffers() if name in state}


def flops(model, seq, batch=1, **inputs):
    """Matmul and convolution FLOPs of one forward pass over `seq` tokens, all logits, no cache; by op too."""
    _patch()
    if not inputs:
        inputs = {"input_ids": torch.zeros(batch, seq, dtype=torch.long, device="meta")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(**inputs, use_cache=False)
    by_op = {str(op).split(".")[-1]: n for op, n in counter.get_flop_counts().get("Global", {}).items()}
    return counter.get_total_flops(), by_op


@lru_cache(1)
def _patch():
    """The packed-sequence check reads a tensor's value, which meta tensors do not have."""
    from transformers import masking_utils

    masking_utils.find_packed_sequence_indices = lambda position_ids: None
