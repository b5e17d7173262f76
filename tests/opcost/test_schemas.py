"""Places of arguments, names of formats and of ops that work element by element, against PyTorch's own tables."""

import re

import pytest

torch = pytest.importorskip("torch")

from flopsight import dtypes  # noqa: E402
from flopsight.opcost import cost  # noqa: E402
from flopsight.opcost.attention import FORMS  # noqa: E402
from flopsight.opcost.cost import FORMULAS  # noqa: E402
from flopsight.opcost.dtypes import BYTES, CODES  # noqa: E402
from flopsight.opnames import COMPARISON, ELEMENTWISE, FREE, MOVE, REDUCTION  # noqa: E402
from flopsight.trace import Signature  # noqa: E402
from tests.opcost.running import exported  # noqa: E402


def schema(name):
    space, _, op = name.partition("::")
    packet = getattr(getattr(torch.ops, space), op, None)
    return None if packet is None else getattr(packet, packet.overloads()[0])._schema


@pytest.mark.parametrize("name", [n for n in FORMS if n.startswith("aten::")])
def test_places_of_attention(name):
    """Every place in a form holds the argument of that meaning; every argument of that meaning has a place."""
    form, at = FORMS[name], {a.name: place for place, a in enumerate(schema(name).arguments)}

    def place(*names):
        return next((at[n] for n in names if n in at), None)

    assert form.query == at["query"]
    assert (at["key"], at["value"]) == (form.query + 1, form.query + 2)
    assert form.causal == place("is_causal")
    assert form.kind == place("custom_mask_type")
    if not ("cudnn" in name and "backward" in name):
        assert form.mask == place("attn_mask", "attn_bias", "bias")
    if form.packed is not None:
        assert form.packed == place("cum_seq_q", "cu_seqlens_q")
        assert form.packed + 1 == place("cum_seq_k", "cu_seqlens_k")
        assert form.packed + 2 == place("max_q", "max_seqlen_q")
    assert form.window == place("window_size_left")
    assert form.span == place("window_size")
    assert form.asked == place("grad_input_mask")
    assert form.backward == name.endswith("backward")


# the names of a schema in the order in which a formula takes them: (op, {place: name})
PLACES = {
    "aten::_scaled_mm": {0: "self", 1: "mat2", 6: "out_dtype"},
    "aten::_scaled_mm_v2": {0: "self", 1: "mat2", 9: "out_dtype"},
    "aten::_grouped_mm": {0: "self", 1: "mat2", 2: "offs", 4: "out_dtype"},
    "aten::_scaled_grouped_mm": {4: "offs", 7: "out_dtype"},
    "aten::_scaled_grouped_mm_v2": {8: "offs", 10: "out_dtype"},
    "aten::_sparse_semi_structured_mm": {0: "mat1", 2: "mat2", 3: "out_dtype"},
    "aten::_sparse_semi_structured_addmm": {1: "mat1", 3: "mat2", 6: "out_dtype"},
    "aten::convolution": {3: "stride", 4: "padding", 5: "dilation", 6: "transposed", 7: "output_padding", 8: "groups"},
    "aten::_convolution": {3: "stride", 4: "padding", 5: "dilation", 6: "transposed", 7: "output_padding", 8: "groups"},
    "aten::conv2d": {3: "stride", 4: "padding", 5: "dilation", 6: "groups"},
    "aten::conv_transpose2d": {3: "stride", 4: "padding", 5: "output_padding", 6: "groups", 7: "dilation"},
    "aten::cudnn_convolution": {2: "padding", 3: "stride", 4: "dilation", 5: "groups"},
    "aten::cudnn_convolution_transpose": {2: "padding", 3: "output_padding", 4: "stride", 5: "dilation", 6: "groups"},
    "aten::cudnn_convolution_relu": {3: "stride", 4: "padding", 5: "dilation", 6: "groups"},
    "aten::cudnn_convolution_add_relu": {5: "stride", 6: "padding", 7: "dilation", 8: "groups"},
    "aten::miopen_convolution": {3: "padding", 4: "stride", 5: "dilation", 6: "groups"},
    "aten::miopen_convolution_transpose": {3: "padding", 4: "output_padding", 5: "stride", 6: "dilation", 7: "groups"},
    "aten::mkldnn_convolution": {3: "padding", 4: "stride", 5: "dilation", 6: "groups"},
    "aten::_slow_conv2d_forward": {4: "stride", 5: "padding"},
    "aten::slow_conv_dilated2d": {4: "stride", 5: "padding", 6: "dilation"},
    "aten::slow_conv_transpose2d": {4: "stride", 5: "padding", 6: "output_padding", 7: "dilation"},
    "aten::_conv_depthwise2d": {4: "stride", 5: "padding", 6: "dilation"},
    "aten::convolution_backward": {0: "grad_output", 1: "input", 3: "bias_sizes", 7: "transposed", 10: "output_mask"},
    "aten::convolution_backward_overrideable": {6: "transposed", 9: "output_mask"},
    "aten::mkldnn_rnn_layer": {0: "input", 1: "weight0", 2: "weight1"},
    "aten::mkldnn_rnn_layer_backward": {0: "input", 1: "weight1", 2: "weight2"},
    "aten::_cudnn_rnn": {0: "input", 1: "weight"},
    "aten::_cudnn_rnn_backward": {0: "input", 1: "weight", 13: "num_layers", 17: "bidirectional", 21: "output_mask"},
    "aten::native_layer_norm": {0: "input", 2: "weight", 3: "bias"},
    "aten::native_layer_norm_backward": {0: "grad_out", 1: "input", 5: "weight", 6: "bias", 7: "output_mask"},
    "aten::native_group_norm": {0: "input", 1: "weight", 2: "bias"},
    "aten::native_group_norm_backward": {0: "grad_out", 1: "input", 4: "weight", 9: "output_mask"},
    "aten::native_batch_norm_backward": {0: "grad_out", 1: "input", 2: "weight", 9: "output_mask"},
    "aten::cudnn_batch_norm": {0: "input", 1: "weight", 2: "bias"},
    "aten::cudnn_batch_norm_backward": {0: "input", 1: "grad_output", 2: "weight"},
    "aten::miopen_batch_norm_backward": {0: "input", 1: "grad_output", 2: "weight"},
    "aten::batch_norm_backward": {0: "grad_out", 1: "input", 2: "weight", 9: "output_mask"},
    "aten::_fused_rms_norm": {0: "input", 2: "weight"},
    "aten::_fused_rms_norm_backward": {0: "grad_out", 1: "input", 4: "weight", 5: "output_mask"},
    "aten::nll_loss_forward": {0: "self", 1: "target", 3: "reduction"},
    "aten::nll_loss_backward": {0: "grad_output", 1: "self", 2: "target"},
    "aten::mse_loss": {2: "reduction"}, "aten::smooth_l1_loss": {2: "reduction"}, "aten::huber_loss": {2: "reduction"},
    "aten::binary_cross_entropy": {3: "reduction"}, "aten::binary_cross_entropy_with_logits": {4: "reduction"},
    "aten::max_pool2d_with_indices_backward": {0: "grad_output", 1: "self", 7: "indices"},
    "aten::upsample_nearest2d_backward": {0: "grad_output", 1: "output_size", 2: "input_size"},
    "aten::_fused_adamw_": {0: "self", 1: "grads", 2: "exp_avgs", 4: "max_exp_avg_sqs", 11: "amsgrad"},
    "aten::_fused_adam_": {9: "weight_decay", 11: "amsgrad"},
    "aten::_fused_sgd_": {0: "self", 2: "momentum_buffer_list", 3: "weight_decay", 4: "momentum"},
    "aten::_fused_adagrad_": {0: "self", 2: "state_sums", 6: "weight_decay"},
    "aten::embedding_dense_backward": {0: "grad_output", 1: "indices", 2: "num_weights"},
    "aten::index_add_": {1: "dim", 2: "index", 3: "source"}, "aten::scatter_": {2: "index", 3: "src"},
    "aten::index_put_": {1: "indices", 2: "values"}, "aten::_index_put_impl_": {1: "indices", 2: "values"},
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_places_of_other_ops(name):
    assert name in FORMULAS
    found = schema(name)
    if found is None:
        pytest.skip("this PyTorch has no such op")
    assert {at: found.arguments[at].name for at in PLACES[name]} == PLACES[name]


def test_every_aten_op_with_a_formula_exists():
    """Names that PyTorch once had, or has in other builds."""
    others = {"aten::_cat"}
    unknown = {n for n in FORMULAS if n.startswith("aten::") and schema(n) is None} - others
    # a name with `_` behind it stands for whatever works in place
    assert {n for n in unknown if schema(n.removesuffix("_")) is None} == set()


def test_ops_that_work_element_by_element():
    """Each is tagged so in PyTorch, or is one of those that its tags leave out."""
    tagged = {
        name.removesuffix("_")
        for name in dir(torch.ops.aten) + sorted(ELEMENTWISE)
        if (packet := getattr(torch.ops.aten, name, None)) is not None and hasattr(packet, "overloads")
        and any(torch.Tag.pointwise in getattr(packet, o).tags for o in packet.overloads())
    }  # fmt: skip
    untagged = ELEMENTWISE - tagged
    assert len(ELEMENTWISE & tagged) > 130
    assert all(re.search(r"backward$|^(absolute|negative|subtract|divide|multiply|fix|prelu|_prelu_kernel|log_sigmoid|"
                         r"floor_divide|hardswish|square|special_\w+|__\w+__|clip|arctan2|rad2deg|deg2rad)$", n)
               for n in untagged), untagged  # fmt: skip
    assert not ELEMENTWISE & (REDUCTION | MOVE | FREE)


@pytest.mark.parametrize("name", sorted(COMPARISON))
def test_comparisons_give_bool(name):
    x = torch.ones(3)
    op = getattr(torch, name, None)
    out = op(x) if name.startswith(("is", "signbit", "logical_not")) else op(x, x)
    assert out.dtype is torch.bool


def test_codes_and_names_of_formats(tmp_path):
    """Every format, converted to under the profiler: its number, its C++ name and its size are those in the tables."""
    every = {d for d in vars(torch).values() if isinstance(d, torch.dtype)} - {torch.complex32}
    made = {}
    for dtype in sorted(every, key=str):
        try:
            made[dtype] = torch.zeros(3).to(dtype)
        except (RuntimeError, NotImplementedError):
            continue  # quantized and sub-byte formats are not converted to
    seen = set()
    for dtype, tensor in made.items():
        trace = exported(tmp_path / "t.json", lambda d=dtype, t=tensor: (torch.zeros(3).to(d), t.clone()))
        for row in range(len(trace.host)):
            if trace.host.signature[row] < 0:
                continue
            one = trace.signatures[trace.host.signature[row]]
            name = trace.names[trace.host.name[row]]
            if name == "aten::clone":
                found = cost(name, Signature(one.dims, one.types))
                assert found.writes == tensor.nbytes, (dtype, one.types)
                assert dtypes.dtype(found.dtype).name == dtypes.dtype(str(dtype)).name, (dtype, one.types)
                seen.add(dtype)
            if name == "aten::_to_copy" and dtype is not torch.float32:
                code = int(one.values[1])
                assert dtypes.dtype(CODES[code]).name == dtypes.dtype(str(dtype)).name
    assert {torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.bool, torch.complex64} <= seen


def test_sizes_of_formats():
    for name, size in BYTES.items():
        known = dtypes.dtype(name)
        assert size == max(1, known.bits // 8)
