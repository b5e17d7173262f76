"""Write docs/concepts/counted-equals-ledger.md: python tools/agree.py [--check].

Runs every model of tests/agreement under the counter (a minute or two). With --check nothing is written; the exit code
is 1 if the page is stale. The test of tests/agreement compares the page with the same runs.
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "concepts" / "counted-equals-ledger.md"
MARK = "<!-- written by tools/agree.py; change the code, then run `python tools/agree.py` -->"
PHASES = ("prompt", "step", "training")
INTRO = """\
flopsight counts work twice: the *ledger* derives it from a config, the *counter* of `flopsight.torch` adds it up while
a real model runs. This page compares the two on tiny models of the families that both know, flopsight and
`transformers` ({version}): each is run on the CPU, and counted and ledger are compared place by place (module by
module, both in `full` and in `required`), not only in total.

{runs} runs of {models} configs of {families} families, {places} places: {equal} runs are equal everywhere, in both
columns. In every other run each difference is explained to the FLOP by the causes below; a difference that no cause
explains fails a test, and so does a cause that explains nothing any more.

In the table `=` says equal everywhere; `required: ...` and `full: ...` say in which column the program differs and why,
with the difference of the totals (counted minus ledger, of the ledger). A dash: not run in that phase. A step is one
token behind twelve in the cache; training is forward and backward.
"""


def page():
    """The text of the page."""
    import transformers
    from tests.agreement.cases import ABSENT, CASES, checked
    from tests.agreement.causes import CAUSES

    results = {name: checked(name) for name in CASES}
    families = sorted({one.family for one in results.values()})
    intro = INTRO.format(
        version=transformers.__version__, runs=len(results), models=sum("|" not in name for name in results),
        families=len(families), places=f"{sum(one.places for one in results.values()):,}",
        equal=sum(not one.full and not one.required for one in results.values()),
    )  # fmt: skip
    lines = ["# Counted equals the ledger", "", MARK, "", intro, "## By family", ""]
    lines += ["| family | " + " | ".join(PHASES) + " |", "| --- " * (len(PHASES) + 1) + "|"]
    for family in families:
        mine = {name: one for name, one in results.items() if one.family == family}
        lines.append(f"| {family} | " + " | ".join(cell(mine, phase) for phase in PHASES) + " |")
    lines += ["", "## Causes", ""] + [f"- *{cause}*: {text}" for cause, text in CAUSES.items()]
    lines += ["", "## Not run", ""] + [f"- {family}: {why}" for family, why in sorted(ABSENT.items())]
    return "\n".join(lines) + "\n"


def phase_of(name):
    return name.rpartition(" | ")[2] if " | " in name else "prompt"


def cell(results, phase):
    """What a family's runs of one phase say: the first config that differs most, and all causes."""
    mine = [one for name, one in results.items() if phase_of(name) == phase]
    if not mine:
        return "-"
    said = [text for column in ("full", "required") if (text := column_of(mine, column))]
    causes = sorted({cause for one in mine for cause in one.causes})
    return f"{', '.join(said)} ({', '.join(causes)})" if causes else "="


def column_of(results, column):
    """The largest difference of the totals of a column, or that only places differ."""
    off = [one for one in results if getattr(one, column)]
    if not off:
        return ""
    name = "full_square" if column == "full" else "required"
    shares = [getattr(one.counted, name) / getattr(one.ledger, name) - 1 for one in off]
    most = max(shares, key=abs)
    return f"{column}: {most:+.1%}" if most else f"{column}: total equal"


def main(arguments):
    sys.path.insert(0, str(ROOT))
    import torch

    torch.set_num_threads(1)
    text = page()
    if "--check" in arguments:
        return 0 if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
