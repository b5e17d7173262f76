"""Every convention, part and command has its page, generated pages say what the code says, links lead somewhere."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flopsight.cli.main import COMMANDS
from flopsight.conventions.catalog import BUILT_IN
from flopsight.models.families import MODULES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])

spec = importlib.util.spec_from_file_location("make_docs", ROOT / "tools" / "make_docs.py")
make_docs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_docs)


def test_generated_pages_are_current():
    assert make_docs.stale() == {}, "run `make docs`"


def test_staleness_is_seen(tmp_path):
    make_docs.write(tmp_path)
    assert make_docs.stale(tmp_path) == {}
    (tmp_path / "families.md").write_text("old")
    (tmp_path / "parts" / "linear.md").unlink()
    (tmp_path / "parts" / "gone.md").write_text("")
    assert make_docs.stale(tmp_path) == {
        "families.md": "differs from what the code says",
        "parts/gone.md": "is not generated any more; remove it",
        "parts/linear.md": "is missing",
    }
    make_docs.write(tmp_path)
    assert make_docs.stale(tmp_path) == {}


def test_check_is_a_command():
    tool = [sys.executable, str(ROOT / "tools" / "make_docs.py"), "--check"]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("convention", BUILT_IN, ids=lambda c: c.name)
def test_a_page_for_each_convention(convention):
    page = (DOCS / "conventions" / f"{convention.name}.md").read_text(encoding="utf-8")
    for said in (convention.title, convention.source, convention.note):
        assert said in page
    assert f"conventions/{convention.name}.md" in (DOCS / "reference" / "conventions.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "src/flopsight/parts").glob("[!_]*.py")))
def test_a_page_for_each_part(name):
    page = (DOCS / "parts" / f"{name}.md").read_text(encoding="utf-8")
    module = importlib.import_module(f"flopsight.parts.{name}")
    for thing in make_docs.public(module):
        assert f"## {thing.__name__}\n" in page


@pytest.mark.parametrize("name", make_docs.commands())
def test_a_page_for_each_command(name):
    page = (DOCS / "commands" / f"{name}.md").read_text(encoding="utf-8")
    assert f"Usage: flopsight {name}" in page
    shown = {
        f"$ flopsight {' '.join(argv)}\n" in page for c, (argv, _) in make_docs.EXAMPLES.items() if c.startswith(name)
    }
    assert shown <= {True}


def test_commands_are_those_of_the_application():
    assert set(make_docs.commands()) <= set(COMMANDS)


def test_every_model_type_is_listed():
    page = (DOCS / "families.md").read_text(encoding="utf-8")
    assert all(f"`{model_type}`" in page for types in MODULES.values() for model_type in types)


# ---------------------------------------------------------------- links


def anchors(page):
    """The anchors of a page's headings, as GitHub writes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    text = re.sub(r"`[^`\n]*`(?!\])", "", text)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(found), target


def test_every_page_can_be_reached_from_the_map():
    seen, left = set(), [DOCS / "index.md"]
    while left:
        page = left.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        found = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        left += [(page.parent / t).resolve() for t in found if (page.parent / t).is_file()]
    assert set(DOCS.rglob("*.md")) <= seen


def test_the_pages_speak_of_nothing_but_the_project():
    for page in PAGES:
        text = page.read_text(encoding="utf-8").lower()
        for word in ("/work/", "/root/", "/tmp/", "../shared", "localhost", "pypi.org", "claude", "session"):
            assert word not in text, (page, word)
