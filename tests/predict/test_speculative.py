import random

import pytest

from flopsight.errors import UsageError
from flopsight.predict.speculative import tokens_per_step


def test_published_expectation():
    """Leviathan et al. 2023 (arXiv 2211.17192): gamma 5, alpha 0.8 gives (1 - 0.8^6) / 0.2 = 3.69 tokens."""
    assert tokens_per_step(0.8, 5) == pytest.approx(3.68928)


def test_deepseek_second_token():
    """DeepSeek-V3 (arXiv 2412.19437, 5.4.3): 85-90 % of second tokens accepted gives about 1.8 times the tokens."""
    assert tokens_per_step(0.85, 1) == pytest.approx(1.85)


def test_ends():
    assert tokens_per_step(None, 0) == 1.0
    assert tokens_per_step(0.0, 4) == 1.0
    assert tokens_per_step(1.0, 4) == 5.0


def test_against_drawn_drafts():
    dice = random.Random(7)
    total = 0
    for _ in range(20_000):
        kept = 0
        while kept < 3 and dice.random() < 0.7:
            kept += 1
        total += kept + 1
    assert tokens_per_step(0.7, 3) == pytest.approx(total / 20_000, rel=0.01)


@pytest.mark.parametrize(("acceptance", "drafts"), [(None, 2), (1.2, 1), (-0.1, 1), (0.5, -1), (0.5, 1.5), (0.5, True)])
def test_refused(acceptance, drafts):
    with pytest.raises(UsageError):
        tokens_per_step(acceptance, drafts)
