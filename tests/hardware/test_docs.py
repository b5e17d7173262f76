"""What docs/hardware.md shows is true."""

import re
from pathlib import Path

from flopsight.hardware.catalog import find, match_driver, node, short_names

PAGE = Path(__file__).parents[2] / "docs" / "hardware.md"


def block(language, begins):
    return next(b for b in re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S) if b.startswith(begins))


def test_the_chip_file_shown_is_a_chip_file(tmp_path):
    path = tmp_path / "acme.toml"
    path.write_text(block("toml", "id ="))
    chip = find("acme-one", [path])
    assert chip.peak("bf16").kind == "stated"
    assert chip.peak("bf16", basis="clock").value == 64 * 1024 * 1_500_000_000


def test_the_python_shown_runs_and_says_what_it_says():
    exec(block("python", "from flopsight"), {})
    h100 = find("h100-sxm")
    assert h100.peak("bf16").value == 989400000000000
    assert h100.peak("bf16", basis="clock").value == 1070530560000000
    assert match_driver("torch", "NVIDIA L40S").id == "nvidia-l40s"
    assert node("v4-8").count == 4


def test_every_short_name_in_the_table_is_one():
    table = PAGE.read_text().partition("| short name |")[2].partition("\n\n")[0]
    shown = {
        name
        for row in table.splitlines()
        for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1] if "|" in row else "")
    }
    assert shown
    assert shown <= set(short_names())
