"""Recurrent layers in one kernel beside the same layer step by step, and beside their closed form."""

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402
from flopsight.torch.call import Call  # noqa: E402
from flopsight.torch.formulas import recurrent  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")
STEPS, BATCH, WIDTH, HIDDEN = 5, 3, 8, 16


def flops(run):
    with flopsight.torch.counting() as counted:
        run()
    assert not counted.uncounted, counted.uncounted
    return counted.flops


def lstm(width, hidden):
    return 2 * STEPS * BATCH * 4 * hidden * (width + hidden)


def test_lstm_is_its_cells():
    layer, cell = torch.nn.LSTM(WIDTH, HIDDEN), torch.nn.LSTMCell(WIDTH, HIDDEN)
    x = torch.randn(STEPS, BATCH, WIDTH)

    def steps():
        state = None
        for step in x:
            state = cell(step, state)

    assert flops(lambda: layer(x)) == flops(steps)
    assert flops(lambda: layer(x)).required == lstm(WIDTH, HIDDEN)


@pytest.mark.parametrize("batch_first", [False, True])
def test_layers_and_directions(batch_first):
    layer = torch.nn.LSTM(WIDTH, HIDDEN, 2, bidirectional=True, batch_first=batch_first)
    x = torch.randn((BATCH, STEPS, WIDTH) if batch_first else (STEPS, BATCH, WIDTH))
    assert flops(lambda: layer(x)).required == 2 * (lstm(WIDTH, HIDDEN) + lstm(2 * HIDDEN, HIDDEN))


def test_training_is_three_forwards():
    layer, x = torch.nn.LSTM(WIDTH, HIDDEN), torch.randn(STEPS, BATCH, WIDTH, requires_grad=True)
    assert flops(lambda: layer(x)[0].sum().backward()).required == 3 * lstm(WIDTH, HIDDEN)


def test_projection_is_one_more_matrix():
    layer = torch.nn.LSTM(WIDTH, HIDDEN, proj_size=4)
    expected = 2 * STEPS * BATCH * (4 * HIDDEN * (WIDTH + 4) + HIDDEN * 4)
    assert flops(lambda: layer(torch.randn(STEPS, BATCH, WIDTH))).required == expected


@pytest.mark.parametrize(("kind", "gates"), [("GRU", 3), ("RNN", 1)])
def test_other_cells(kind, gates):
    layer = getattr(torch.nn, kind)(WIDTH, HIDDEN)
    expected = 2 * STEPS * BATCH * gates * HIDDEN * (WIDTH + HIDDEN)
    assert flops(lambda: layer(torch.randn(STEPS, BATCH, WIDTH))).required == expected


@pytest.mark.parametrize(("number", "kind"), [(0, "RNN"), (2, "LSTM"), (3, "GRU")])
def test_the_fused_layer_counts_each_kind_like_its_module(number, kind):
    layer, x = getattr(torch.nn, kind)(WIDTH, HIDDEN), torch.randn(STEPS, BATCH, WIDTH)
    call = Call(torch.ops.aten.mkldnn_rnn_layer.default, (x,), {"mode": number, "hidden_size": HIDDEN}, (x,))
    assert recurrent.one_layer(call) == flops(lambda: layer(x))


def test_packed_sequences_count_their_real_lengths():
    packed = torch.nn.utils.rnn.pack_sequence([torch.randn(n, WIDTH) for n in (5, 2)])
    assert flops(lambda: torch.nn.LSTM(WIDTH, HIDDEN)(packed)).required == 2 * 7 * 4 * HIDDEN * (WIDTH + HIDDEN)


def device_call(layer, x, *, packed=False, mask=None):
    """What the op of a GPU is called with for this layer; a CPU cannot run it."""
    weights = [w for group in layer.all_weights for w in group]
    rows = x.reshape(-1, WIDTH) if packed else x
    number = {"RNN_TANH": 1, "LSTM": 2, "GRU": 3}[layer.mode]
    shape = (number, layer.hidden_size, layer.proj_size, layer.num_layers, False, 0.0, True, layer.bidirectional)
    if mask is None:
        op = torch.ops.aten._cudnn_rnn.default
        return Call(op, (rows, weights, 4, None, x, x, *shape, [], None), {}, (x,))
    op = torch.ops.aten._cudnn_rnn_backward.default
    return Call(op, (rows, weights, 4, x, x, x, x, x, x, x, *shape, [], None, x, mask), {}, (x,))


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("projection", [0, 4])
def test_the_device_kernel_counts_like_the_cpu(both, packed, projection):
    layer = torch.nn.LSTM(WIDTH, HIDDEN, 2, bidirectional=both, proj_size=projection)
    x = torch.randn(STEPS, BATCH, WIDTH)
    assert recurrent.layers(device_call(layer, x, packed=packed)) == flops(lambda: layer(x))


@pytest.mark.parametrize("both", [False, True])
def test_the_device_backward_leaves_out_what_is_not_wanted(both):
    layer = torch.nn.LSTM(WIDTH, HIDDEN, 2, bidirectional=both)
    x = torch.randn(STEPS, BATCH, WIDTH)
    forward = flops(lambda: layer(x)).required
    whole = recurrent.layers_backward(device_call(layer, x, mask=[True] * 4)).required
    no_input = recurrent.layers_backward(device_call(layer, x, mask=[False, True, True, True])).required
    frozen = recurrent.layers_backward(device_call(layer, x, mask=[True, True, True, False])).required
    first = 2 * STEPS * BATCH * 4 * HIDDEN * WIDTH * (2 if both else 1)
    assert (whole, no_input, frozen) == (2 * forward, 2 * forward - first, forward)
