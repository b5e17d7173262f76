"""Reports of Nsight Compute by hand, after the published layout (Customization Guide, "Report File Format")."""

import struct


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def field(number, value):
    """One field: a whole number, a double, or bytes, text or a message (all three counted)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*pairs):
    return b"".join(field(number, value) for number, value in pairs)


def counted(data):
    return struct.pack("<I", len(data)) + data


def value(what):
    """A metric's value: text, double or whole number."""
    return field({str: 1, float: 3, int: 5}[type(what)], what)


def metric(number, what, instances=()):
    listed = [(3, message((1, value(which)), (2, value(each)))) for which, each in instances]
    return message((1, number), *([] if what is None else [(2, value(what))]), *listed)


def kernel(name, metrics, grid=(64, 2, 1), block=(256, 1, 1), stream=7):
    """An entry of a kernel; metrics are (number of the name, value[, instances])."""
    sizes = [message(*enumerate(three, 1)) for three in ((0, 0, 0), grid, block)]
    return message(
        (1, 1), (2, 1), (3, 1), (4, 1), (5, f"_Z{name}"), (6, name), (7, f"{name}(float *)"), (8, 3),
        *zip((9, 10, 11), sizes, strict=True), *((13, metric(*one)) for one in metrics), (17, b""), (23, stream),
    )  # fmt: skip


def block(strings=(), sources=(), kernels=(), ranges=(), session=b""):
    payload = b"".join(counted(one) for one in (*sources, *kernels, *ranges))
    header = message(
        (1, len(sources)), (2, len(kernels)), *([(3, session)] if session else []),
        (4, message(*((1, name) for name in strings))), (5, len(payload)), (7, len(ranges)),
    )  # fmt: skip
    return counted(header) + payload


def device(number, name, **attributes):
    held = (message((1, f"device__attribute_{key}"), (2, value(what))) for key, what in attributes.items())
    return message((6, message((1, number), (2, name), *((3, one) for one in held))))


def report(*blocks, version=7):
    return b"NVR\0" + counted(message((1, version))) + b"".join(blocks)


NAMES = (
    "gpu__time_duration.sum", "smsp__sass_thread_inst_executed_op_ffma_pred_on.sum", "launch__device_id",
    "sass__thread_inst_executed_true_per_opcode", "launch__func_cache_config", "gpc__cycles_elapsed.avg.per_second",
)  # fmt: skip
GPU = device(1, "NVIDIA H100 80GB HBM3", multiprocessor_count=132, total_memory=85_000_000_000,
             compute_capability_major=9, compute_capability_minor=0, max_gpu_frequency_khz=1_980_000)  # fmt: skip


def small():
    """Two kernels on one H100: of the first everything, of the second a duration; names are given once."""
    first = kernel("saxpy", (
        (0, 3232.0), (1, 50176), (2, 1), (3, 100.0, (("FFMA", 60), ("FADD", 30), (4096, 10))), (4, "PreferNone"),
        (5, 1.5e9),
    ))  # fmt: skip
    second = kernel("tiny", ((0, 1000.0), (2, 1)), grid=(1, 1, 1), stream=0)
    settings = message((10, message((8, "None"))))
    return report(
        block(session=settings), block(sources=(b"\x08\x01",)), block(NAMES, kernels=(first,)), block(session=GPU),
        block(kernels=(second,), ranges=(b"\x08\x01",)),
    )  # fmt: skip
