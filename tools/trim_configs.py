"""Keep of a config only what a count can use: python tools/trim_configs.py CONFIG.json [...]

What a family reads, and what no rule of `models/ignorable.py` knows to be without influence, stays; token ids, dropout
rates, generation settings and the like go. The count of the trimmed config is checked against that of the whole one.
"""

import json
import pathlib
import sys

from flopsight.models.config import Config
from flopsight.models.ignorable import ignorable
from flopsight.models.ledger import Ledger
from flopsight.models.load import build
from flopsight.workload import Workload

ALWAYS = {
    "architectures", "quantization_config", "dtype", "torch_dtype", "model_type", "_class_name", "expert_dtype",
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length", "paper_only",
}  # fmt: skip


def levels_read(raw, name):
    """{id of a level of the config: keys that were read there}, as the family builds the model."""
    made = []
    plain = Config.__init__

    def noted(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        made.append(self)

    Config.__init__ = noted
    try:
        build(raw, name, name)
    finally:
        Config.__init__ = plain
    found = {}
    for config in made:
        found.setdefault(id(config.raw), set()).update(config.read)
    return found


def trimmed(level, read):
    """One level without what no count can use."""
    keys = read.get(id(level), set())
    out = {}
    for key, value in level.items():
        if key in ALWAYS or key in keys or not ignorable(key, value):
            inner = isinstance(value, dict) and id(value) in read
            out[key] = trimmed(value, read) if inner else value
    return out


def counted(raw, name):
    book = Ledger(build(raw, name, name))
    works = [Workload(phase, 2, 77, 5, images=i) for phase in ("train", "prefill", "decode") for i in (0, 1)]
    return book.params, book.by_kind, book.buffers, book.cache_per_token, [book.total(w) for w in works]


def main():
    for path in map(pathlib.Path, sys.argv[1:]):
        raw = json.loads(path.read_text())
        small = trimmed(raw, levels_read(raw, path.stem))
        if counted(raw, path.stem) != counted(small, path.stem):
            sys.exit(f"{path}: the trimmed config counts differently; not written")
        path.write_text(json.dumps(small, indent=1, sort_keys=True, allow_nan=True) + "\n")
        print(path.stem, len(json.dumps(raw)), "->", len(json.dumps(small)))


if __name__ == "__main__":
    main()
