"""Speculative decoding: how many tokens a step yields when drafts are accepted with a given probability."""

from __future__ import annotations

from flopsight.errors import UsageError

MOST_DRAFTS = 64


def tokens_per_step(acceptance: float | None, drafts: int) -> float:
    """Tokens a verification step yields in the mean.

        1 + a + a^2 + ... + a^k = (1 - a^(k+1)) / (1 - a)

    a acceptance of one draft token, independent of its neighbours; k drafts (Leviathan, Kalman, Matias 2023,
    arXiv 2211.17192, equation 1). 1 without drafts; UsageError for drafts whose acceptance is not given.
    """
    if isinstance(drafts, bool) or not isinstance(drafts, int) or not 0 <= drafts <= MOST_DRAFTS:
        raise UsageError(f"Draft tokens are a whole number from 0 to {MOST_DRAFTS}; got {drafts!r}.")
    if drafts == 0:
        return 1.0
    if acceptance is None:
        raise UsageError("Draft tokens need the acceptance: the share of drafts that the model itself would have said.")
    if not 0 <= acceptance <= 1:
        raise UsageError(f"The acceptance is a share from 0 to 1; got {acceptance!r}.")
    return float(drafts + 1) if acceptance == 1 else (1 - acceptance ** (drafts + 1)) / (1 - acceptance)
