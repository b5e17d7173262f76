"""The plain decoder gives what transformers gives for the same weights, with a cache and without."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from flopsight.bench.reference import Cache, decoder, shape_of  # noqa: E402
from flopsight.bench.subject import subject  # noqa: E402
from flopsight.errors import MissingCapability  # noqa: E402
from flopsight.stopwatch import TorchDevice  # noqa: E402
from tests.bench.tiny import REFERENCE  # noqa: E402

IDS = torch.randint(0, 97, (2, 12), generator=torch.Generator().manual_seed(1))


def pair(raw):
    theirs = subject(raw, "tiny", "fp32", TorchDevice("cpu"), "transformers").module.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():  # norms and biases too, so that leaving one out shows
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + (parameter.ndim == 1) * 0.5)
    ours = decoder(shape_of(raw)).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("family", REFERENCE)
def test_logits_are_those_of_transformers(family):
    ours, theirs = pair(REFERENCE[family])
    with torch.no_grad():
        torch.testing.assert_close(ours(IDS), theirs(IDS).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", REFERENCE)
def test_one_token_behind_a_cache_is_the_last_of_the_whole(family):
    ours, theirs = pair(REFERENCE[family])
    with torch.no_grad():
        cache = Cache(12)
        ours(IDS[:, :11], cache)
        torch.testing.assert_close(ours(IDS[:, 11:], cache, keep=1)[:, 0], theirs(IDS).logits[:, -1],
                                   rtol=1e-4, atol=1e-4)  # fmt: skip


@pytest.mark.parametrize("family", REFERENCE)
def test_modules_are_named_as_the_ledger_names_its_parts(family):
    from flopsight.models.ledger import ledger
    from flopsight.models.load import load

    modules = {name for name, _ in decoder(shape_of(REFERENCE[family])).named_modules()}
    parts = {prefix for one in ledger(load(REFERENCE[family])).leaves for prefix in one.prefixes()}
    missing = {part.rpartition(".")[2] for part in parts - modules}
    assert missing <= {"residual", "sampler", "route"}


def test_other_families_are_said_to_need_transformers():
    with pytest.raises(MissingCapability, match=r"flopsight\[torch,hf\]"):
        shape_of({"model_type": "gemma3"})
