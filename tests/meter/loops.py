"""Small loops that the tests meter."""

import torch
from torch import nn

VOCAB, WIDTH, BATCH, LENGTH = 64, 32, 4, 16
FORWARD = 2 * BATCH * LENGTH * WIDTH * VOCAB
"""FLOPs of the head; the look-up is none. Training: the weight's gradient and the embedding's, so three times."""


class Tiny(nn.Module):
    """A look-up and a head."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCAB, WIDTH), nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, ids):
        return self.head(self.embed(ids))


def made(seed=0):
    torch.manual_seed(seed)
    model = Tiny()
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def train(model, optimizer, steps=12, *, accumulate=1, batch=BATCH, length=LENGTH, inner=None):
    """Losses of a plain loop; `inner(step)` runs inside of each."""
    losses = []
    for step in range(steps):
        for _ in range(accumulate):
            ids = torch.randint(0, VOCAB, (batch, length if isinstance(length, int) else length(step)))
            loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
            if inner is not None:
                inner(step)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
