"""Files of rows are read within bounds, and the command says what came out."""

import json
import os
from pathlib import Path

import jsonschema
import pytest

from flopsight import api
from flopsight.cli.main import run as command
from flopsight.errors import BadFile, UsageError
from flopsight.validate.rows import read_rows
from flopsight.validate.summary import nearest_rank, spread
from tests.validate import rows

GOOD = {"id": "a", "group": "g", "kind": "train_mfu"}


def line(**more):
    return json.dumps(GOOD | more)


HOSTILE = {
    "cut short": '{"id": "a", "gro',
    "no object": "[1, 2]",
    "a number": "7",
    "not utf-8": b'{"id": "\xff"}',
    "NaN": '{"id": "a", "group": "g", "kind": "train_mfu", "measured": {"mfu_pct": NaN}}',
    "huge number": line(measured={"mfu_pct": 1e300}),
    "huge integer": '{"id": "a", "group": "g", "kind": "kernel", "measured": {"x": 1' + "0" * 400 + "}}",
    "no id": '{"group": "g", "kind": "train_mfu"}',
    "id of a wrong type": line(id=7),
    "unknown kind": line(kind="magic"),
    "model of a wrong type": line(model=[1]),
    "recalled of a wrong type": line(recalled="yes"),
    "convention of a wrong type": line(convention=7),
    "deep": line(model=json.loads('{"a":' * 30 + "1" + "}" * 30)),
    "very deep": '{"a":' * 100_000,
    "long": line(notes="x" * 2_000_000),
    "negative layers": line(model={"name": "x", "layers": -3}),
    "half a layer": line(model={"name": "x", "layers": 1.5}),
    "true layers": line(model={"name": "x", "layers": True}),
    "absurd width": line(model={"name": "x", "d_model": 10**12}),
    "negative rate": line(measured={"tokens_per_s": -1}),
    "rate in words": line(measured={"tokens_per_s": "fast"}),
    "zero peak": line(hardware={"peak_tflops_used": 0}),
    "question of a wrong type": json.dumps(GOOD | {"kind": "arithmetic", "problem": {"question": 7}}),
    "inputs of a wrong type": json.dumps(GOOD | {"kind": "arithmetic", "problem": {"question": "x", "inputs": 7}}),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_lines_are_refused_by_name(tmp_path, text):
    (tmp_path / "rows.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadFile, match=r"rows\.jsonl, line 1") as error:
        api.validate(tmp_path)
    assert len(str(error.value)) < 400


def test_a_folder_is_needed(tmp_path):
    with pytest.raises(UsageError, match=r"no \*\.jsonl file"):
        read_rows(tmp_path)
    with pytest.raises(UsageError, match="folder"):
        read_rows(tmp_path / "missing")


def test_blank_lines_are_skipped(tmp_path):
    (tmp_path / "rows.jsonl").write_text(f"\n{line()}\n\n")
    assert len(read_rows(tmp_path)) == 1


def test_nearest_rank():
    values = [float(n) for n in range(1, 11)]
    assert nearest_rank(values, 0.9) == 9
    assert nearest_rank([5.0], 0.9) == 5
    assert spread(3, 0, 0, []).median is None
    assert spread(2, 2, 2, [-0.1, 0.3]).median == pytest.approx(0.2)


def test_kinds_are_present_where_nothing_predicts(tmp_path):
    kinds = ("prefill", "decode", "serving", "kernel")
    result = api.validate(rows.write(tmp_path, [GOOD | {"kind": kind, "quality": "A"} for kind in kinds]))
    for kind in ("train_mfu", *kinds, "arithmetic"):
        assert result.kinds[kind].answered == 0
    assert result.kinds["serving"].rows == 1
    assert all(row.why for row in result.rows)


def test_json_agrees_with_its_schema(tmp_path):
    result = api.validate(rows.write(tmp_path, [*rows.palm(), *rows.bridge()]))
    jsonschema.validate(json.loads(result.to_json()), api.schema("validate"))
    assert {"rows", "answered", "median_abs_rel_error", "p90_abs_rel_error", "max_abs_rel_error"} <= set(
        json.loads(result.to_json())["recompute"]["all"]
    )


def test_the_command(tmp_path, capsys):
    folder = str(rows.write(tmp_path, rows.korthikanti()))
    assert command(["validate", folder, "--check"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("4 of 4 recomputation rows")
    assert err == ""
    assert command(["validate", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recompute"]["korthikanti"]["answered"] == 4


def test_check_exits_with_1_on_a_miss(tmp_path, capsys):
    wrong = rows.korthikanti()[0]
    wrong["measured"]["mfu_pct"] = 50.0
    folder = str(rows.write(tmp_path, [wrong]))
    assert command(["validate", folder]) == 0
    assert command(["validate", folder, "--check"]) == 1
    assert command(["validate", str(tmp_path / "none")]) == 2
    capsys.readouterr()


@pytest.mark.skipif(
    "FLOPSIGHT_EVIDENCE" not in os.environ, reason="set FLOPSIGHT_EVIDENCE to a folder of measurements to run them all"
)
def test_the_whole_evidence():
    result = api.validate(Path(os.environ["FLOPSIGHT_EVIDENCE"]))
    every = result.recompute["all"]
    assert every.within >= 0.99 * every.compared
    assert every.median_abs_rel_error < 0.005
    solved = result.kinds["arithmetic"]
    assert solved.within == solved.answered
    assert solved.answered >= 0.9 * solved.rows
