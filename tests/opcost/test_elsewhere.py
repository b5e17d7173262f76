"""Ops of which no live record can be had here, by their schemas: sums by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopsight.counted import Flops
from flopsight.opcost import cost
from flopsight.trace import Signature

BF16 = "c10::BFloat16"
FP8 = "c10::Float8_e4m3fn"


def record(count, **places):
    """`count` arguments; pN a tensor's sizes, vN a text, tN a type."""
    dims, types, values = [()] * count, [""] * count, [""] * count
    for key, value in places.items():
        at = int(key[1:])
        if key[0] == "p":
            dims[at], types[at] = value, types[at] or BF16
        elif key[0] == "t":
            types[at] = value
        else:
            values[at], types[at] = value, "Scalar"
    return Signature(tuple(dims), tuple(types), tuple(values))


def packed(
    tokens, keys, count, longest, longest_keys, causal=True, heads=4, op="flash_attn::_flash_attn_varlen_forward"
):
    q, k, ends = (tokens, heads, 8), (keys, 2, 8), (count + 1,)
    return cost(op, record(
        14, p0=q, p1=k, p2=k, p3=ends, t3="int", p4=ends, t4="int", v5=str(longest), v6=str(longest_keys), v7="0.",
        v8="0.1", v9=str(causal), v10="-1", v11="-1",
    ))  # fmt: skip


def triangle(queries, keys):
    return sum(max(0, min(keys, i + 1 + keys - queries)) for i in range(queries))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_packed_sequences_are_at_most_what_fits_under_the_longest(lengths):
    """Exact where all are as long as the longest; never less than the real pairs."""
    found = packed(sum(lengths), sum(lengths), len(lengths), max(lengths), max(lengths))
    real = 4 * 4 * 8 * sum(triangle(n, n) for n in lengths)
    assert found.flops.required >= real
    assert found.flops.full_square >= 4 * 4 * 8 * sum(n * n for n in lengths)
    if len(set(lengths)) == 1:
        assert (found.flops.required, found.note) == (real, "")
    else:
        assert "not recorded" in found.note


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=4), st.booleans()
)  # fmt: skip
def test_packed_queries_over_longer_keys(pairs, causal):
    queries, keys = [q for q, _ in pairs], [q + more for q, more in pairs]
    found = packed(sum(queries), sum(keys), len(pairs), max(queries), max(keys), causal)
    assert found.flops.full_square >= 4 * 4 * 8 * sum(q * k for q, k in zip(queries, keys, strict=True))
    assert found.flops.required <= found.flops.full_square


def test_a_window_and_both_gradients():
    """A window of two keys before a query's own: 1 + 2 + 3 + 3 + ..; all gradients five halves of the forward."""
    q = (1, 10, 4, 8)
    taken = record(11, p0=q, p1=q, p2=q, v3="0.", v4="0.1", v5="True", v6="2", v7="0")
    pairs = 1 + 2 + 3 * 8
    assert cost("flash_attn::_flash_attn_forward", taken).flops == Flops(128 * pairs, 128 * 100, 128 * pairs)
    back = record(14, p0=q, p1=q, p2=q, p3=q, p4=q, v11="True", v12="2", v13="0")
    found = cost("flash_attn::_flash_attn_backward", back)
    assert found.flops == Flops(256 * pairs, 256 * 100, 320 * pairs)
    size = 10 * 4 * 8 * 2
    assert (found.reads, found.writes) == (5 * size, 3 * size)


def test_flash_attention_3_and_older_functions():
    q, ends = (12, 4, 8), (4,)
    packed_3 = {"p0": q, "p1": q, "p2": q, "p7": ends, "t7": "int", "p8": ends, "t8": "int", "v12": "4", "v13": "4"}
    whole = 4 * 8 * 4 * 3 * 10
    found = cost("flash_attn_3::_flash_attn_forward", record(34, **packed_3, v24="True", v25="-1", v26="-1", v27="0"))
    assert (found.flops.required, found.note) == (whole, "")
    assert cost("flash_attn_3::fwd", record(34, **packed_3, v24="True", v25="-1", v26="-1", v27="128")) is None
    back = record(22, p0=q, p1=q, p2=q, p3=q, p4=q, p6=ends, t6="int", p7=ends, t7="int", v10="4", v11="4", v16="True",
                  v17="-1", v18="-1")  # fmt: skip
    assert cost("flash_attn_3::_flash_attn_backward", back).flops == Flops(
        2 * whole, 2 * 4 * 8 * 4 * 48, 5 * whole // 2
    )
    dense = (1, 10, 4, 8)
    older = cost("FlashAttnFunc", record(11, p0=dense, p1=dense, p2=dense, v5="True"))
    assert older.flops.required == 4 * 8 * 4 * 55
    assert "window" in older.note


def test_keys_in_pages_have_no_cost():
    q, cache = (8, 4, 8), (100, 16, 2, 8)
    paged = record(
        17, p0=q, p1=cache, p2=cache, p3=(3,), t3="int", p4=(3,), t4="int", v9="True", p15=(2, 10), t15="int"
    )
    assert cost("flash_attn::_flash_attn_varlen_forward", paged) is None
    assert cost("vllm::unified_attention_with_output", record(3, p0=q, p1=q, p2=q)) is None
    assert cost("vllm::moe_forward", record(2, p0=(8, 64), p1=(8, 4))) is None


def test_efficient_attention_with_a_window_and_a_mask_type():
    q = (2, 6, 4, 8)
    plain = record(14, p0=q, p1=q, p2=q, v9="1")
    assert cost("aten::_efficient_attention_forward", plain).flops.required == 4 * 8 * 2 * 4 * 21
    near = record(14, p0=q, p1=q, p2=q, v9="1", v13="2")
    assert cost("xformers::efficient_attention_forward_cutlass", near).flops.required == 4 * 8 * 2 * 4 * 11


@pytest.mark.parametrize(("older", "at"), [(True, 10), (False, 12)])
def test_both_schemas_of_aiter(older, at):
    q, ends = (12, 4, 8), (4,)
    places = {f"v{at - 1}": "False", f"v{at}": "True", f"v{at + 1}": "-1", f"v{at + 2}": "0"}
    found = cost("aiter::mha_varlen_fwd", record(
        at + 5, p0=q, p1=q, p2=q, p3=ends, t3="int", p4=ends, t4="int", v5="4", v6="4", **places))  # fmt: skip
    assert (found.flops.required, found.note) == (4 * 8 * 4 * 3 * 10, "")


M, N, K = 32, 48, 64
PRODUCTS = {
    "rows": ("aiter::gemm_a16w16", record(7, p0=(M, K), p1=(N, K), v3="15")),
    "fbgemm": ("fbgemm::f8f8bf16_rowwise", record(4, p0=(M, K), t0=FP8, p1=(N, K), t1=FP8)),
    "columns": ("sgl_kernel::fp8_scaled_mm", record(6, p0=(M, K), t0=FP8, p1=(K, N), t1=FP8, v4="15")),
    "into": ("_C::cutlass_scaled_mm", record(6, p0=(M, N), p1=(M, K), t1=FP8, p2=(K, N), t2=FP8)),
    "scaled": ("aten::_scaled_mm", record(8, p0=(M, K), t0=FP8, p1=(K, N), t1=FP8, v6="15")),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_other_projects(name):
    op, taken = PRODUCTS[name]
    found = cost(op, taken)
    assert found.flops == Flops(*[2 * M * N * K] * 3)
    assert found.product == (1, M, N, K)
    assert found.writes == M * N * 2
    assert found.reads == (M * K + N * K) * (2 if name == "rows" else 1)
    assert found.dtype == ("bf16" if name == "rows" else "fp8")


def test_packed_weights():
    four = record(4, p0=(M, K), p1=(N // 8, K // (16 * 8), 32, 4), t1="int", p3=(2, N, 2))
    assert cost(
        "aten::_weight_int4pack_mm", record(4, p0=(M, 128), p1=(N // 8, 1, 32, 4), t1="int", p3=(4, N, 2))
    ).flops == (Flops(*[2 * M * N * 128] * 3))
    assert cost("aten::_weight_int4pack_mm", four).writes == M * N * 2
    eight = record(3, p0=(M, K), p1=(N, K), t1="signed char", p2=(N,))
    assert cost("aten::_weight_int8pack_mm", eight).flops.executed == 2 * M * N * K
    sparse = cost("aten::_sparse_semi_structured_mm", record(4, p0=(M, K // 2), p1=(M, 4), t1="short", p2=(K, N)))
    assert sparse.flops == Flops(2 * M * N * K, 2 * M * N * K, M * N * K)


def test_grouped_products_in_all_layouts():
    def flops(left, right):
        return cost("aten::_grouped_mm", record(5, p0=left, p1=right, p2=(3,), t2="int"))

    rows = flops((24, K), (3, K, N))
    assert (rows.flops.executed, rows.writes) == (2 * 24 * K * N, 24 * N * 2)
    assert "padding too" in rows.note
    columns = flops((3, M, K), (K, 24))
    assert (columns.flops.executed, columns.writes) == (2 * M * K * 24, M * 24 * 2)
    weights = flops((M, 24), (24, N))
    assert (weights.flops.executed, weights.writes) == (2 * M * 24 * N, 3 * M * N * 2)
    batch = flops((3, M, K), (3, K, N))
    assert (batch.flops.executed, batch.note) == (3 * 2 * M * K * N, "")


def test_recurrent_layers_in_one_kernel():
    """2 layers of 4 gates, 16 wide, over 5 steps of 3 sequences 12 wide; backward twice that."""
    weights = ((64, 12), (64, 16), (64,), (64,), (64, 16), (64, 16), (64,), (64,))
    one = 2 * 15 * (64 * 12 + 3 * 64 * 16)
    taken = record(16, p0=(5, 3, 12), t0="float", p1=weights, t1="TensorList")
    assert cost("aten::_cudnn_rnn", taken).flops.executed == one
    back = record(22, p0=(5, 3, 12), t0="float", p1=weights, v13="2", v17="False", v21="[True, True, True, True]")
    assert cost("aten::_cudnn_rnn_backward", back).flops.executed == 2 * one
    first = record(22, p0=(5, 3, 12), t0="float", p1=weights, v13="2", v17="False", v21="[False, True, True, True]")
    assert cost("aten::_cudnn_rnn_backward", first).flops.executed == 2 * one - 2 * 15 * 64 * 12


def test_a_rotary_embedding_reads_a_row_of_its_table_for_each_token():
    q, k = (32, 4096), (32, 1024)
    found = cost("sgl_kernel::rotary_embedding", record(
        6, p0=(32,), t0="long int", p1=q, p2=k, v3="128", p4=(41216, 128), v5="True"))  # fmt: skip
    moved = 32 * 5120
    assert (found.elementwise, found.writes) == (3 * moved, 2 * moved)
    assert found.reads == 2 * moved + 32 * 128 * 2 + 32 * 8
