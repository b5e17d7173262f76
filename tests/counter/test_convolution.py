"""Convolutions beside the plain product of their unfolded patches, with groups, transposed, and their gradients."""

import pytest

torch = pytest.importorskip("torch")

import flopsight.torch  # noqa: E402

F = torch.nn.functional


def flops(run):
    with flopsight.torch.counting() as counted:
        run()
    assert not counted.uncounted, counted.uncounted
    return counted.flops


def unfolded(x, weight, groups):
    """A convolution as one product a group."""
    taps = weight.shape[-1]
    patches = F.unfold(x, taps).unflatten(1, (groups, -1))
    return torch.einsum("bgkp,gok->bgop", patches, weight.flatten(1).unflatten(0, (groups, -1)))


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_forward_and_backward_equal_unfolded_products(groups):
    weight = torch.randn(16, 8 // groups, 3, 3, requires_grad=True)
    x = torch.randn(2, 8, 9, 9, requires_grad=True)
    direct = flops(lambda: F.conv2d(x, weight, groups=groups).sum().backward())
    assert direct == flops(lambda: unfolded(x, weight, groups).sum().backward())
    assert direct.required == 3 * 2 * 2 * 49 * 16 * (8 // groups) * 9


@pytest.mark.parametrize(("of_input", "of_weight", "times"), [(1, 1, 3), (0, 1, 2), (1, 0, 2)])
def test_gradients_that_nobody_wants_are_not_counted(of_input, of_weight, times):
    weight = torch.randn(6, 2, 3, requires_grad=bool(of_weight))
    x = torch.randn(2, 4, 10, requires_grad=bool(of_input))
    one = 2 * 2 * 6 * 8 * 2 * 3
    assert flops(lambda: F.conv1d(x, weight, groups=2).sum().backward()).required == times * one


def test_depthwise_backward_is_twice_its_forward():
    """Other counters multiply by the channels here: Mamba's short convolution, 64 channels of 4 taps."""
    layer, x = torch.nn.Conv1d(64, 64, 4, groups=64, padding=3), torch.randn(2, 64, 50, requires_grad=True)
    assert flops(lambda: layer(x).sum().backward()).required == 3 * 2 * 2 * 64 * 53 * 4


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_is_the_input_gradient_of_the_plain_one(groups):
    weight, y = torch.randn(4, 6 // groups, 3, 3), torch.randn(2, 4, 7, 7)
    direct = flops(lambda: F.conv_transpose2d(y, weight, stride=2, groups=groups))
    assert direct.required == 2 * y.numel() * (6 // groups) * 9


def test_transposed_training_is_three_forwards():
    layer, y = torch.nn.ConvTranspose2d(4, 6, 3, stride=2), torch.randn(2, 4, 7, 7, requires_grad=True)
    assert flops(lambda: layer(y).sum().backward()).required == 3 * 2 * y.numel() * 6 * 9


@pytest.mark.parametrize("size", [1, 2, 3])
def test_strides_dilation_and_padding_change_only_the_positions(size):
    kind = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[size]
    weight, x = torch.randn(5, 3, *[3] * size), torch.randn(2, 3, *[11] * size)
    positions = ((11 + 4 - 2 * 2 - 1) // 2 + 1) ** size
    assert flops(lambda: kind(x, weight, stride=2, padding=2, dilation=2)).required == (
        2 * 2 * positions * 5 * 3 * 3**size
    )


def test_time_first():
    weight, x = torch.randn(3, 4, 5, requires_grad=True), torch.randn(10, 2, 4, requires_grad=True)
    bias = torch.zeros(5)
    plain = flops(lambda: F.conv1d(x.permute(1, 2, 0), weight.permute(2, 1, 0)).sum().backward())
    assert flops(lambda: torch.conv_tbc(x, weight, bias).sum().backward()) == plain


def test_double_backward():
    weight, x = torch.randn(6, 4, 3, requires_grad=True), torch.randn(2, 4, 10, requires_grad=True)
    one = 2 * 2 * 6 * 8 * 4 * 3

    def run():
        (gradient,) = torch.autograd.grad(F.conv1d(x, weight).pow(2).sum(), x, create_graph=True)
        gradient.sum().backward()

    assert flops(run).required % one == 0
