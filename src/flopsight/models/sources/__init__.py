"""Where a model comes from: a JSON config, a safetensors or GGUF header, a hub id; read within bounds, never run."""

from flopsight.models.sources.gguf import GgufFile, read_gguf
from flopsight.models.sources.gguf_config import gguf_config
from flopsight.models.sources.json_config import read_config
from flopsight.models.sources.locate import Source, locate
from flopsight.models.sources.safetensors import Checkpoint, quantization_beside, read_checkpoint, read_header
from flopsight.models.sources.tensors import StoredTensor, total_bytes

__all__ = [
    "Checkpoint",
    "GgufFile",
    "Source",
    "StoredTensor",
    "gguf_config",
    "locate",
    "quantization_beside",
    "read_checkpoint",
    "read_config",
    "read_gguf",
    "read_header",
    "total_bytes",
]
