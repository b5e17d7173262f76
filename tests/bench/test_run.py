"""The whole bench on tiny models, its errors, its answer."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from flopsight import api
from flopsight.bench import run as room
from flopsight.bench.config import config_of, shallow
from flopsight.cli.main import run
from flopsight.errors import Impossible, MissingCapability, UsageError
from tests.bench.tiny import GPT2, LLAMA, machine


@pytest.fixture(autouse=True)
def _no_measuring(monkeypatch):
    monkeypatch.setattr(room, "_machine", lambda device, dtype: machine(dtype or "fp32"))


def short(model, **options):
    return api.bench(model, **{"seq": 8, "seconds": 1.0, **options})


def test_every_phase_at_every_batch():
    found = short(LLAMA, phases=("prefill", "decode", "train"), batches=(1, 2))
    assert [(c.phase, c.batch) for c in found.cases] == [
        (phase, batch) for phase in ("prefill", "decode", "train") for batch in (1, 2)
    ]
    for case in found.cases:
        assert case.counted_agrees is True
        assert sum(part.ns for part in case.parts) + case.between_ns == case.watched_ns
        assert case.best_s <= case.median_s <= case.worst_s
        assert case.mfu == pytest.approx(case.required / case.median_s / 1e12)
        assert case.predicted_s == pytest.approx(sum(part.predicted_s or 0 for part in case.parts))
        assert (case.mbu is None) == (case.phase == "train")
    assert found.layers == found.all_layers == 3


def test_the_answer_is_json_of_its_schema(tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    out = tmp_path / "bench.json"
    found = short(GPT2, phases=("decode",), past=16, using="reference", out=out)
    read = json.loads(out.read_text())
    jsonschema.validate(read, api.schema("bench"))
    assert read["schema_version"] == 1
    assert read["saved"] == str(out)
    assert read["cases"][0]["past"] == 16
    assert "plain reference" in read["using"]
    assert found.headline() in " ".join(found.to_text(10_000).split("\n"))


def test_fewer_layers_run_and_the_answer_is_scaled():
    found = short(LLAMA, phases=("prefill",), layers=1)
    case = found.cases[0]
    assert (found.layers, found.all_layers) == (1, 3)
    inside = sum(part.ns for part in case.parts if part.path.startswith("model.layers"))
    expected = case.median_s * (case.watched_ns + 2 * inside) / case.watched_ns
    assert case.whole_model_s == pytest.approx(expected)
    assert "1 of 3 layers" in found.headline()


def test_a_model_that_does_not_fit_is_cut_or_refused(monkeypatch):
    from flopsight.bench.room import need
    from flopsight.models.ledger import ledger
    from flopsight.models.load import build

    def bytes_of(layers):
        return need(ledger(build(shallow(LLAMA, layers, 3), "x", "x")), next(iter(loads)), machine()).bytes

    loads = list(room.workloads(room.Ask(LLAMA, ("prefill",), (1,), seq=8), ledger(build(LLAMA, "x", "x"))))
    monkeypatch.setattr(room, "available", lambda device: bytes_of(1) / 0.8 + 1)
    found = short(LLAMA, phases=("prefill",))
    assert found.layers == 1
    assert "would need" in found.why_layers
    monkeypatch.setattr(room, "available", lambda device: bytes_of(1) / 0.8 - 1)
    with pytest.raises(Impossible, match="smaller --batch or --seq"):
        short(LLAMA, phases=("prefill",))


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("vit-base-patch16-224", {}, "no decoder-only"),
        ("t5-base", {}, "no decoder-only"),
        ("smollm2-135m", {"phases": ("dance",)}, "phases are of"),
        ("smollm2-135m", {"batches": (0,)}, "at least 1"),
        ("smollm2-135m", {"dtype": "fp8"}, "fp32, bf16, fp16"),
        ("smollm2-135m", {"seconds": 0.1}, "from 1 s"),
        ("smollm2-135m", {"layers": 99}, "30 layers"),
        ("smollm2-135m", {"on": "h100-sxm"}, "flopsight predict"),
        ("smollm2-135m", {"using": "magic"}, "transformers, reference"),
        ("smollm2-135m", {"out": "/no/such/folder/x.json"}, "no folder"),
        ("smollm2-135m", {"device": "tpu"}, "cannot use"),
        (LLAMA, {"seq": 0}, "seq is a whole number"),
    ],
)
def test_what_cannot_be_benched_says_so(model, options, said):
    with pytest.raises(UsageError, match=said):
        short(model, **options)


def test_without_transformers_the_reference_runs_and_others_are_refused(monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "transformers" else find(name, *a)
    )
    assert "plain reference" in short(LLAMA, phases=("prefill",)).using
    with pytest.raises(MissingCapability, match="pip install"):
        short("gemma-3-1b", phases=("prefill",), layers=1)
    with pytest.raises(MissingCapability, match="not installed"):
        short(LLAMA, phases=("prefill",), using="transformers")


def test_memory_that_runs_out_is_a_sentence():
    with pytest.raises(Impossible, match="ran out of memory"), room._memory_errors("m"):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    with pytest.raises(RuntimeError, match="other"), room._memory_errors("m"):
        raise RuntimeError("other")


def test_layers_are_cut_from_lists_too():
    cut = shallow({"num_hidden_layers": 4, "layer_types": ["a", "b", "c", "d"], "names": ["x"]}, 2, 4)
    assert cut == {"num_hidden_layers": 2, "layer_types": ["a", "b"], "names": ["x"]}


def test_configs_of_names_sizes_and_dicts():
    assert config_of("gpt2")["model_type"] == "gpt2"
    assert config_of("dense:1B")["model_type"] == "llama"
    assert config_of(LLAMA) == LLAMA
    with pytest.raises(UsageError, match="builds a model from a config"):
        config_of("package.module:function")


def test_the_command(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA))
    command = ["bench", str(path), "--phase", "prefill,train", "--batch", "1,2", "--seq", "8", "--seconds", "1"]
    assert run([*command, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["cases"]) == 4
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert "between parts" in shown
    assert "MFU" in shown
    assert run(["bench", str(path), "--batch", "one"]) == 2
