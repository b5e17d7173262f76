"""Activation checkpointing: required as without it, executed larger by exactly the forward passes run again."""

import functools

import pytest

torch = pytest.importorskip("torch")

from torch.utils.checkpoint import (  # noqa: E402
    CheckpointPolicy,
    checkpoint,
    checkpoint_sequential,
    create_selective_checkpoint_contexts,
)

import flopsight.torch  # noqa: E402

N, ROWS = 16, 8
ONE = 2 * ROWS * N * N


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(N, N, bias=False), torch.nn.Linear(N, N, bias=False)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


class Stack(torch.nn.Module):
    def __init__(self, through):
        super().__init__()
        self.blocks, self.through = torch.nn.ModuleList(Block() for _ in range(3)), through

    def forward(self, x):
        for block in self.blocks:
            x = self.through(block, x)
        return x


def train(through):
    torch.manual_seed(0)
    model, x = Stack(through), torch.randn(ROWS, N, requires_grad=True)
    with flopsight.torch.counting(model) as c:
        model(x).sum().backward()
    return c, [p.grad for p in model.parameters()]


def plainly(block, x):
    return block(x)


PLAIN = 3 * 3 * 2 * ONE
AGAIN = 3 * 2 * ONE


@pytest.mark.parametrize("reentrant", [True, False])
def test_required_is_that_of_the_plain_run(reentrant):
    c, gradients = train(functools.partial(checkpoint, use_reentrant=reentrant))
    plain, expected = train(plainly)
    assert plain.flops.required == plain.flops.executed == PLAIN
    assert c.flops.required == c.flops.full_square == PLAIN
    # the last product of a block is needed by nobody's gradient: a run that is not reentrant stops before it
    assert c.flops.executed in ({PLAIN + AGAIN} if reentrant else {PLAIN + AGAIN, PLAIN + AGAIN - 3 * ONE})
    assert c.counted.during("recompute").flops.executed == c.flops.executed - PLAIN
    assert all(torch.equal(a, b) for a, b in zip(gradients, expected, strict=True))


@pytest.mark.parametrize("reentrant", [True, False])
def test_recompute_belongs_to_the_module_that_runs_again(reentrant):
    c, _ = train(functools.partial(checkpoint, use_reentrant=reentrant))
    again = {row.module for row in c.counted.during("recompute").rows if row.amount.flops.executed}
    assert again >= {f"blocks.{i}.up" for i in range(3)}
    backward = {row.module for row in c.counted.during("backward").rows if row.amount.flops.required}
    assert backward == {f"blocks.{i}.{name}" for i in range(3) for name in ("up", "down")}


def test_what_a_policy_saves_is_not_run_again():
    def policy(ctx, op, *args, **kwargs):
        return CheckpointPolicy.MUST_SAVE if op is torch.ops.aten.mm.default else CheckpointPolicy.PREFER_RECOMPUTE

    contexts = functools.partial(create_selective_checkpoint_contexts, policy)
    c, _ = train(functools.partial(checkpoint, use_reentrant=False, context_fn=contexts))
    assert c.flops.required == c.flops.executed == PLAIN


def test_nested():
    def twice(block, x):
        inner = functools.partial(checkpoint, block, use_reentrant=False)
        return checkpoint(inner, x, use_reentrant=False)

    c, _ = train(twice)
    assert c.flops.required == PLAIN
    assert c.flops.executed >= PLAIN + AGAIN - 3 * ONE


def test_sequential():
    model = torch.nn.Sequential(*(Block() for _ in range(4)))
    x = torch.randn(ROWS, N, requires_grad=True)
    with flopsight.torch.counting() as c:
        checkpoint_sequential(model, 2, x, use_reentrant=True).sum().backward()
    assert c.flops.required == 4 * 3 * 2 * ONE
    assert c.flops.executed == c.flops.required + 2 * 2 * ONE  # the last part is not checkpointed


# what autograd does not need is not there


def linear_train(model, x):
    with flopsight.torch.counting() as c:
        model(x).sum().backward()
    return c.flops.required


def test_raw_inputs_need_no_gradient():
    model = torch.nn.Sequential(torch.nn.Linear(N, N), torch.nn.Linear(N, N))
    assert linear_train(model, torch.randn(ROWS, N)) == (3 + 3 - 1) * ONE


def test_frozen_weights():
    model = torch.nn.Sequential(torch.nn.Linear(N, N), torch.nn.Linear(N, N))
    model[0].requires_grad_(False)
    assert linear_train(model, torch.randn(ROWS, N)) == (1 + 2) * ONE
    assert linear_train(model, torch.randn(ROWS, N, requires_grad=True)) == (2 + 3) * ONE


def test_adapters():
    """y = x·W + x·A·B with W frozen and x raw: no product for W, two each for A and B less A's input gradient."""
    rank = 4

    class Adapted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.base = torch.nn.Linear(N, N, bias=False).requires_grad_(False)
            self.a, self.b = torch.nn.Linear(N, rank, bias=False), torch.nn.Linear(rank, N, bias=False)

        def forward(self, x):
            return self.base(x) + self.b(self.a(x))

    thin = 2 * ROWS * N * rank
    assert linear_train(Adapted(), torch.randn(ROWS, N)) == ONE + 2 * thin + thin + 2 * thin


def test_accumulated_and_retained_graphs():
    model, x = torch.nn.Linear(N, N), torch.randn(ROWS, N)
    with flopsight.torch.counting() as c:
        loss = model(x).sum()
        loss.backward(retain_graph=True)
        loss.backward()
    assert c.flops.required == 3 * ONE
