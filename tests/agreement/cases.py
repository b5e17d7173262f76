"""All cases by name, and what comes out of each."""

from dataclasses import dataclass
from functools import lru_cache

from tests.agreement.causes import OTHER, by_form
from tests.agreement.forms import BY_CAUSE
from tests.agreement.others import OTHERS
from tests.agreement.running import run
from tests.agreement.texts import TEXTS

CASES = TEXTS | OTHERS
FORMS = {
    name: frozenset(cause for cause, names in BY_CAUSE.items() if name in names)
    for listed in BY_CAUSE.values()
    for name in listed
}


@dataclass(frozen=True)
class Checked:
    """The differences of a case, counted - ledger by line, and those that its causes explain."""

    uncounted: tuple
    full: dict
    expected_full: dict
    required: dict
    expected_required: dict
    causes: frozenset
    ledger_full: int
    ledger_required: int
    counted: object


@lru_cache(None)
def checked(name):
    case = CASES[name]
    result = run(case)
    form, causes = by_form(result)
    other = OTHER.get(name)
    return Checked(
        result.counted.uncounted,
        result.off("full"), dict(other.full) if other else {},
        result.off("required"), _sum(form, other.needed if other else {}),
        frozenset(causes),
        sum(int(p.ledger.full) for p in result.pairs), sum(int(p.ledger.required) for p in result.pairs),
        result.counted.flops,
    )  # fmt: skip


def _sum(*dicts):
    found = {}
    for one in dicts:
        for line, n in one.items():
            found[line] = found.get(line, 0) + n
    return {line: n for line, n in found.items() if n}
