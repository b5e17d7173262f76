"""`flopsight.hardware(...)`: the same answers as the command, as values."""

import json
import subprocess
import sys

import jsonschema
import pytest

import flopsight
from flopsight import api
from flopsight.errors import UnknownHardware, UsageError
from flopsight.hardware.catalog import chips, find
from flopsight.hardware.cpus import cpus
from flopsight.hardware.interconnect import links
from flopsight.report.draw_hardware import MARKS

SCHEMA = api.schema("hardware")
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def valid(result):
    body = json.loads(result.to_json())
    VALIDATOR.validate(body)
    assert (body["schema_version"], body["command"]) == (1, "hardware")
    return body


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("options", [{}, {"dtype": "fp4"}, {"vendor": "amd"}, {"links": True}, {"cpus": True}])
def test_lists(options):
    found = flopsight.hardware(**options)
    assert valid(found)["answer"] == "list"
    assert found.to_text().startswith(repr(found))


def test_every_entry_is_valid_and_draws():
    names = [each.id for each in (*chips(), *links(), *cpus())]
    for name in names:
        found = flopsight.hardware(name)
        assert valid(found)["answer"] == "show"
        first = found.to_text(400).splitlines()[0]
        assert first == repr(found)


def test_a_node_multiplies_and_a_chip_does_not():
    node = valid(flopsight.hardware("8xH100-SXM"))
    assert node["count"] == 8
    assert node["memory_bytes"]["value"] == 8 * node["chip"]["record"]["memory"]["bytes"]
    assert repr(flopsight.hardware("8xH100-SXM")).startswith("8 x NVIDIA H100 SXM5 80GB: 7.915 PFLOP/s dense bf16")


def test_here_and_the_notebook():
    found = flopsight.hardware("here")
    assert valid(found)["answer"] == "here"
    assert "match the catalogue" in repr(found)
    assert "<pre" in found._repr_html_()


def test_the_text_of_a_source_is_never_markup():
    page = flopsight.hardware("h100-sxm").to_text()
    assert "\n[1] " in page
    assert "[4]" in page


def test_an_unknown_peak_says_why_and_prints_a_dash():
    listed = flopsight.hardware(dtype="fp4")
    h100 = next(row for row in listed.chips if row.id == "nvidia-h100-sxm5-80gb")
    assert "lists no fp4" in h100.peak.unknown
    assert "value" not in json.loads(listed.to_json())["chips"][listed.chips.index(h100)]["peak"]


def test_every_kind_of_fact_has_a_mark():
    kinds = {row["kind"] for row in valid(flopsight.hardware())["chips"] for row in [row["peak"]] if "kind" in row}
    assert kinds <= set(MARKS)


def test_errors():
    with pytest.raises(UnknownHardware, match="could be"):
        flopsight.hardware("H100")
    with pytest.raises(UsageError, match="status"):
        flopsight.hardware(status="new")


IMPORTS = [
    "import flopsight; flopsight.hardware('h200')",
    "import flopsight.hardware; flopsight.hardware('h200')",
    "from flopsight.hardware.catalog import find; import flopsight; flopsight.hardware('h200'); find('h200')",
    "import flopsight; flopsight.hardware('h200'); from flopsight.hardware.catalog import find; find('h200')",
    "from flopsight import hardware; hardware('h200'); from flopsight.hardware import catalog; catalog.find('h200')",
    "import flopsight.api; flopsight.hardware('h200'); import flopsight.hardware as h; h('h200'); h.catalog.chips()",
]


@pytest.mark.parametrize("code", IMPORTS)
def test_package_and_verb_in_any_order(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "acme.toml"
    path.write_text(
        'id = "acme-one"\nname = "One"\nvendor = "Acme"\nkind = "npu"\nstatus = "shipping"\n'
        'form_factor = "[red]card"\n[memory]\nbytes = "24 GiB"\nbandwidth = "1 TB/s"\n'
    )
    found = flopsight.hardware("acme-one", files=[path])
    assert valid(found)["chip"]["origin"] == str(path)
    assert "[red]card" in found.to_text()
    assert find("acme-one", [path]).id == "acme-one"
