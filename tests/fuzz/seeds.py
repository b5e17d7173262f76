"""Small valid files, written by the formats' own packages, for mutation to start from."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import gguf
import numpy as np
from gguf import GGUFWriter
from safetensors.numpy import save

from tests.fuzz import trace_files


@functools.cache
def json_seeds() -> tuple[bytes, ...]:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "rope_scaling": {"factor": 8.0, "type": "linear"},
        "time_step_limit": [0.0, float("inf")],
        "architectures": ["LlamaForCausalLM"],
        "name": '\u00e9\\"',
        "tie": None,
    }
    index = {"metadata": {"total_size": 16}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    return json.dumps(config).encode(), json.dumps(index, indent=1).encode(), b"\xef\xbb\xbf{}"


@functools.cache
def safetensors_seeds() -> tuple[bytes, ...]:
    tensors = {
        "a.weight": np.zeros((2, 3), np.float16),
        "b": np.zeros((), np.int64),
        "empty": np.zeros((0, 4), np.int8),
    }
    return save(tensors, {"format": "pt"}), save({"x": np.ones(3, np.bool_)}), save({})


def llama_writer(path: Path, endian: gguf.GGUFEndian = gguf.GGUFEndian.LITTLE) -> GGUFWriter:
    """A one-layer llama of hidden 64 in F32, F16 and Q8_0, with a vocabulary long enough not to be kept."""
    writer = GGUFWriter(path, "llama", endianess=endian)
    writer.add_block_count(1)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_key_length(16)
    writer.add_context_length(2048)
    writer.add_rope_freq_base(10000.0)
    writer.add_bool("llama.some_flag", True)
    writer.add_array("llama.some_list", [1, 2, 3])
    writer.add_token_list([f"<{i}>" for i in range(1100)])
    writer.add_token_scores([0.5] * 1100)
    writer.add_tensor("token_embd.weight", np.zeros((8, 64), np.float32))
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((64, 64), np.float16))
    writer.add_tensor("blk.0.ffn_down.weight", np.zeros((4, 68), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    return writer


def written(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@functools.cache
def gguf_seeds() -> tuple[bytes, ...]:
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for endian in gguf.GGUFEndian:
            path = Path(folder) / f"{endian.name}.gguf"
            written(llama_writer(path, endian))
            made.append(path.read_bytes())
        small = GGUFWriter(Path(folder) / "small.gguf", "gemma2")
        for add in (
            small.add_block_count,
            small.add_embedding_length,
            small.add_feed_forward_length,
            small.add_head_count,
        ):
            add(4)
        small.add_sliding_window(8)
        small.add_tensor("token_embd.weight", np.zeros((2, 4), np.float32))
        written(small)
        made.append((Path(folder) / "small.gguf").read_bytes())
    return tuple(made)


def config_seeds() -> tuple[bytes, ...]:
    return tuple(bytes([name, *range(1, 9)]) for name in range(0, 148, 5))


SEEDS = {
    "json": json_seeds, "safetensors": safetensors_seeds, "gguf": gguf_seeds, "config": config_seeds,
    **{f"trace-{name}": functools.partial(trace_files.seeds, name) for name in trace_files.READERS},
}  # fmt: skip
