"""What the pages show is what the commands print and what the library says."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

import flopsight
from flopsight.cli.main import run

ROOT = Path(__file__).parents[2]
GENERATED = ("conventions", "parts", "commands", "reference")
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    + [p for p in (ROOT / "docs").rglob("*.md") if p.parent.name not in GENERATED]
)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def commands():
    for page in PAGES:
        for block in blocks(page, "console"):
            for shown in re.split(r"^\$ ", block, flags=re.M)[1:]:
                line, _, output = shown.partition("\n")
                yield pytest.param(line, output, id=f"{page.stem}: {line}")


def together(text):
    """Without line breaks and the width of columns, which follow the terminal."""
    return " ".join(text.split())


@pytest.mark.parametrize(("line", "output"), list(commands()))
def test_commands_print_what_is_shown(capsys, line, output):
    name, *argv = shlex.split(line)
    assert name == "flopsight"
    status = run(argv)
    printed = capsys.readouterr()
    # what talks to a person goes to stderr, and only then is the status not 0
    actual = together(printed.err if status else printed.out)
    assert (printed.out == "") if status else (printed.err == "")
    pieces = re.split(r"^\.\.\..*\n?", output, flags=re.M)
    assert actual.startswith(together(pieces[0]))
    place = 0
    for piece in map(together, pieces):
        place = actual.find(piece, place)
        assert place >= 0, piece
        place += len(piece)


@pytest.mark.parametrize("page", [p for p in PAGES if ">>> " in p.read_text(encoding="utf-8")], ids=lambda p: p.stem)
def test_the_library_says_what_is_shown(page):
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS, encoding="utf-8")
    assert tried
    assert not failed


def test_the_packages_docstring():
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(flopsight, optionflags=options).failed == 0


def test_the_readme_counts_its_truth():
    from tests.truth.test_models import BREAKDOWN_FAULTS, FLOPS_FAULTS, TRUTH

    told = README.partition("## How exact it is")[2].partition("- Families")[0]
    known = [t for t in TRUTH.values() if t["total"] is not None]
    built = [t for t in known if re.match(r"(transformers|diffusers) ", t["oracle"])]
    broken, traced = (sum(key in t for t in TRUTH.values()) for key in ("breakdown", "flops"))
    assert f"{len(known)} of the {len(TRUTH)} bundled configs equal the reference: {len(built)} the frame" in told
    assert f"{len(known) - len(built)} a formula" in told
    assert f"For {broken} the breakdown" in told
    assert f"the {len(BREAKDOWN_FAULTS)} where" in told
    assert f"For {traced} the FLOPs" in told
    assert list(FLOPS_FAULTS) == ["llama-4-scout"]
    assert {t["oracle"].split()[1] for t in built} == set(re.findall(r"\d+\.\d+\.\d+", told))


def test_the_readme_counts_what_there_is():
    from flopsight.hardware.catalog import chips
    from flopsight.hardware.cpus import cpus
    from flopsight.hardware.interconnect import links
    from flopsight.models.load import bundled

    there = {"accelerators": chips(), "links": links(), "processor families": cpus()}
    assert all(f"{len(found)} {what}" in README for what, found in there.items())
    assert f"({len(bundled())} of them" in README
    shares = flopsight.mfu("llama-3.1-8b", tokens_per_s=24000, on="8xH100-SXM", seq=8192).conventions
    low, high = min(row.mfu for row in shares), max(row.mfu for row in shares)
    assert f"from {100 * low:.0f} to {100 * high:.0f} % MFU" in README
