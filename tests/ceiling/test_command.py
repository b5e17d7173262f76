"""The command and the verb: one real short run, how answers read, and what goes wrong in one sentence."""

import json
import sys

import msgspec
import pytest

import flopsight
from flopsight.ceiling import run
from flopsight.ceiling.clocks import Clock
from flopsight.ceiling.collectives import Collective, Exchange
from flopsight.ceiling.neighbours import Shares
from flopsight.ceiling.run import Effort
from flopsight.cli.main import main
from flopsight.cli.main import run as command
from flopsight.errors import UsageError
from flopsight.facts import Fact, Unknown
from flopsight.hardware.cpus import Cpu
from flopsight.hardware.detect import cpu_here
from flopsight.report.build_ceiling import build, build_exchange
from flopsight.report.ceiling import CeilingResult
from flopsight.stopwatch import Spread

from .made import STEADY, found

SHORT = Effort(product=0.1, point=0.002, launch=0.03, drift=0.02, every=4, passes=1)


@pytest.fixture
def measured(monkeypatch):
    """The command with made-up measurements; a list of what was asked."""
    asked = []
    monkeypatch.setattr(run, "measure", lambda device, **how: asked.append((device, how)) or found())
    return asked


def test_a_real_run_answers_saves_and_is_used(monkeypatch, capsys, home):
    pytest.importorskip("torch")
    monkeypatch.setattr(run, "QUICK", SHORT)
    assert command(["ceiling", "--device", "cpu", "--quick", "--save", "--json"]) == 0
    result = msgspec.json.decode(capsys.readouterr().out, type=CeilingResult)
    ran = {p.dtype: p for p in result.products if p.flops_per_s}
    assert {"fp32", "bf16"} <= set(ran)
    assert all(p.why for p in result.products if not p.flops_per_s), "what did not run says why"
    assert all(p.median_flops_per_s <= p.flops_per_s for p in ran.values())
    directions = [row.direction for row in result.bandwidth]
    assert directions.count("read") == directions.count("write") == directions.count("copy") >= 3
    assert 0 < result.launch.eager < 1e-2
    assert result.launch.graph is None
    assert "CUDA" in result.launch.why_no_graph
    assert command(["mfu", "gpt2", "--tokens-per-s", "1", "--on", result.chip, "--basis", "measured", "--json"]) == 0
    peak = json.loads(capsys.readouterr().out)["peak"]["flops_per_s"]
    assert peak == pytest.approx(ran["bf16"].flops_per_s, abs=1)
    # units x rate x clock bounds what was measured wherever this machine's clock is readable
    assert all(p.of_clock is None or p.of_clock < 1.02 for p in ran.values())


def test_the_answer_comes_first(measured, capsys):
    assert command(["ceiling", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    head = " ".join(printed.partition(" product ")[0].split())
    assert "bf16 200 GFLOP/s at 1000 x 1000 x 100" in head
    assert "fp32 100 GFLOP/s" in head
    assert "25.0 GB/s read, 25.0 GB/s write, 25.0 GB/s copy" in head
    assert "2.00 us to launch" in head
    for said in ("L1, 64.00 KiB", "L2, 2.000 MiB", "L3, 32.00 MiB", "memory", "Not run: tf32", "no graphs",
                 "clock not readable here", "without the reads that caches do before they write"):  # fmt: skip
        assert said in " ".join(printed.split())
    assert measured == [("cpu", {"quick": False, "progress": measured[0][1]["progress"]})]


def test_the_verb_is_the_package(measured):
    assert flopsight.ceiling("cpu", quick=True).products[0].dtype == "fp32"
    assert measured[0][1]["quick"] is True
    assert isinstance(flopsight.ceiling("cpu")._repr_html_(), str)


def test_out_is_the_json(measured, tmp_path, capsys):
    assert command(["ceiling", "--device", "cpu", "--out", str(tmp_path / "x.json")]) == 0
    assert msgspec.json.decode((tmp_path / "x.json").read_bytes(), type=CeilingResult).threads == 2


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--device", "nope"], "no such kind"),
        (["--device", "cpu", "--out", "/no/such/folder/x.json"], "is no folder"),
    ],
)
def test_mistakes_are_one_sentence_before_anything_is_measured(argv, said, capsys, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("flopsight.ceiling.search.best_product", lambda *args: pytest.fail("measured"))
    assert command(["ceiling", *argv]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_a_folder_that_cannot_be_used_is_said_before_anything_is_measured(home, measured, capsys):
    home.write_text("a file")
    assert command(["ceiling", "--device", "cpu", "--save"]) == 2
    assert "FLOPSIGHT_HOME" in capsys.readouterr().err
    assert measured == []


def test_an_interrupt_leaves_nothing(monkeypatch, home, tmp_path):
    def interrupted(*args, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "measure", interrupted)
    with pytest.raises(SystemExit) as left:
        main(["ceiling", "--device", "cpu", "--save", "--out", str(tmp_path / "x.json")])
    assert left.value.code == 130
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "x.json").exists()


def test_what_is_unsteady_is_said():
    assert build(found()).warnings == ["medians are more than 15% under the best in fp32, bf16"]
    noisy = build(found(neighbours=Shares(0.05, 0.3), drift=(1e11, 0.8e11, 1e11), threads=1))
    text = "\n".join(noisy.warnings)
    for said in ("5% of the processors' time to other guests", "other programs used 30%", "differed by 20%", "1 of 2"):
        assert said in text
    held = build(found(clock=Clock("nvml", 1e9, 1e9, 2e9, 2e9, 700.0, ("power cap",), 9)))
    assert "held back: power cap" in "\n".join(held.warnings)


def test_a_product_above_its_clock_peak_is_a_contradiction_that_is_said():
    seen = cpu_here()
    if not isinstance(seen.match, Cpu):
        pytest.skip("this processor is not in the catalogue")
    cores = int(seen.read["cores"])
    clock = Clock("cpufreq", 1e9, 1e9, 1e9, 1e9, None, (), 3)
    result = build(found(clock=clock))
    first = next(p for p in result.products if p.dtype == "fp32")
    rates = [seen.match.peak("fp32", cores=cores, clock_hz=1e9, isa=isa) for isa in str(seen.read["isa"]).split()]
    peak = max(rate.value for rate in rates if isinstance(rate, Fact))
    assert first.of_clock == pytest.approx(1e11 / peak)
    assert ("fp32 is" in "\n".join(result.warnings)) == (first.of_clock > 1.02)
    assert build(found(clock=Unknown("no"))).products[0].of_clock is None


def test_collectives_read_as_a_table():
    rows = tuple(Collective("all_reduce", size, 4, Spread(1e-3, 2e-3, 3e-3, 5)) for size in (2**10, 2**20))
    lacking = Collective("all_to_all", 2**10, 4, why="gloo does not support it")
    result = build_exchange(Exchange(0, 4, "gloo", "cpu", "cpu", (*rows, lacking), "2.13.0", "2026-01-02", False))
    text = " ".join(result.to_text().split())
    assert "Bus bandwidth between 4 ranks (gloo, cpu): all-reduce 1.57 GB/s at 1.000 MiB." in text
    assert "Not run: all-to-all: gloo does not support it" in text


def test_the_schema_is_the_result(measured, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    assert command(["ceiling", "--device", "cpu", "--json"]) == 0
    jsonschema.validate(json.loads(capsys.readouterr().out), flopsight.api.schema("ceiling"))


def test_without_torch_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert command(["ceiling"]) == 4
    assert "pip install" in capsys.readouterr().err


def test_a_drift_is_the_range_over_the_median():
    assert found(drift=(1.0, 2.0, 4.0)).drifted == 1.5
    assert found(drift=()).drifted == 0.0
    assert STEADY.spread == pytest.approx(0.8)
    with pytest.raises(UsageError):
        flopsight.ceiling("cpu:x")
