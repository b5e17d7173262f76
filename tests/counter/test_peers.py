"""The tables beside other counters: complete, and a counter that dies costs its cells only."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tools.peers.counters import PEERS, Peer
from tools.peers.gather import _some
from tools.peers.page import BEGIN, END, PAGE, errors, shown, write

from .zoo import SPECIMENS


def test_every_model_has_its_row_in_both_tables():
    text = PAGE.read_text(encoding="utf-8")
    for specimen in SPECIMENS:
        assert text.count(f"\n| {specimen.name} |") == 2


def test_the_page_names_every_counter():
    text = PAGE.read_text(encoding="utf-8")
    for peer in PEERS:
        assert f"\n| {peer.name} |" in text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ({"ratio": 1.0}, "1.000"), ({"ratio": 1.019}, "1.019"), ({"ratio": 0.5}, "0.500 ↓"),
        ({"ratio": 178.2}, "178 ↑"), ({"ratio": 0}, "0.000 ↓"), ({"ratio": None}, "-"),
        ({"error": "KeyError: x"}, "error"),
    ],
)  # fmt: skip
def test_a_cell(cell, text):
    assert shown(cell) == text


def test_only_what_stands_between_the_markers_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    cells = {(phase, "m", peer.name): {"ratio": 1.0} for phase in ("forward", "training") for peer in PEERS}
    write(cells, ["m"], tmp_path, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| m | 1.000 |" in text


def test_a_counter_whose_process_dies_costs_a_model_and_the_next_is_tried():
    cells = {}
    nobody = Peer("nobody", "nothing", forward=lambda model, inputs: 0)
    assert _some(nobody, ["first", "second"], Path("nowhere"), cells) == ["second"]
    assert cells == {(phase, "first", "nobody"): {"error": "the process ended"} for phase in ("forward", "training")}
    assert errors(cells) == "- nobody on first: `the process ended`"
