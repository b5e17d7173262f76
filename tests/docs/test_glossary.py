"""One word for one idea: bold words are defined once, in the glossary, and words it turns down are used nowhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEXT = (DOCS / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^- \*\*(.+?)\*\*(?: \(= (.+?)\))?: ", TEXT, re.M)
TURNED_DOWN = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", TEXT.partition("## Words not used here")[2], re.M)[2:]
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])


def plain(page):
    """A page without its code, whose words are those of other people's options and formulas."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def test_every_term_is_defined_once():
    names = [name.casefold() for name, _ in TERMS]
    assert len(names) > 30
    assert len(names) == len(set(names))
    bold = re.findall(r"\*\*(.+?)\*\*", TEXT)
    assert len(bold) == len(names), "every bold word of the glossary is a definition"


def test_the_words_of_the_design_are_there():
    names = {name for name, _ in TERMS}
    wanted = (
        "required FLOPs, executed FLOPs, MFU, HFU, MBU, peak, clock peak, measured ceiling, arithmetic intensity, "
        "ridge point, prefill, decode, step, TTFT, TPOT, ISL, OSL, queries, past, KV cache, active parameters, exposed "
        "communication, launch gap, bubble, roofline, GB, GiB"
    )
    assert set(wanted.split(", ")) <= names


def test_bold_words_elsewhere_are_terms():
    names = {name.casefold() for name, _ in TERMS}
    for page in PAGES:
        if page.name != "glossary.md":
            found = {word.casefold() for word in re.findall(r"\*\*(.+?)\*\*", plain(page))}
            assert found <= names, page


@pytest.mark.parametrize(("word", "instead"), TURNED_DOWN)
def test_turned_down_words_are_not_used(word, instead):
    assert instead.casefold() in {name.casefold() for name, _ in TERMS} | {"utilization", "flops"}
    assert word.casefold() not in {name.casefold() for name, _ in TERMS}
    # one word in capitals is that word only; others also in other cases
    flags = 0 if word.isupper() else re.IGNORECASE
    for page in PAGES:
        if page.name != "glossary.md":
            assert not re.search(rf"\b{re.escape(word)}\b", plain(page), flags), (page, word)


def test_other_names_are_turned_down():
    turned = {word for word, _ in TURNED_DOWN}
    assert {other for _, other in TERMS if other} <= turned
