"""Values reach each kind of logger under our names; what is no place for values is refused."""

import json
import urllib.error
import urllib.request

import pytest

from flopsight.errors import UsageError
from flopsight.meter.sinks import sink_for
from flopsight.meter.sinks.prometheus import serve

VALUES = {"flopsight/mfu": 0.41, "flopsight/tokens_per_second": 1200, "flopsight/device": "NVIDIA H100"}


def recorder(module: str, name: str, method: str):
    """An object whose class has the module and name of a logger's, and one method that records its calls."""
    calls: list[tuple[tuple, dict]] = []
    kind = type(name, (), {method: lambda self, *args, **kwargs: calls.append((args, kwargs)), "__module__": module})
    return kind(), calls


def test_a_function_gets_values_and_step():
    seen = []
    sink_for(lambda values, step: seen.append((dict(values), step))).write(VALUES, 7)
    assert seen == [(VALUES, 7)]


def test_a_path_gets_one_json_object_a_line(tmp_path):
    sink = sink_for(tmp_path / "meter.jsonl")
    sink.write(VALUES, 10)
    sink.write(VALUES, 20)
    lines = [json.loads(line) for line in (tmp_path / "meter.jsonl").read_text().splitlines()]
    assert [line.pop("step") for line in lines] == [10, 20]
    assert lines == [VALUES, VALUES]


def test_tensorboard_gets_scalars_only():
    writer, calls = recorder("torch.utils.tensorboard.writer", "SummaryWriter", "add_scalar")
    sink_for(writer).write(VALUES, 3)
    assert [args for args, _ in calls] == [("flopsight/mfu", 0.41, 3), ("flopsight/tokens_per_second", 1200, 3)]


def test_wandb_gets_values_without_advancing_its_step():
    run, calls = recorder("wandb.sdk.wandb_run", "Run", "log")
    sink_for(run).write(VALUES, 3)
    assert calls == [(({**VALUES, "flopsight/step": 3},), {"commit": False})]


@pytest.mark.parametrize(
    ("module", "name", "method"),
    [
        ("lightning.pytorch.loggers.logger", "Logger", "log_metrics"),
        ("pytorch_lightning.loggers.logger", "Logger", "log_metrics"),
        ("accelerate.accelerator", "Accelerator", "log"),
    ],
)
def test_trainers_loggers_get_numbers(module, name, method):
    base, calls = recorder(module, name, method)
    own = type("CsvLogger", (type(base),), {"__module__": "somewhere.else"})()  # found through what it is made from
    sink_for(own).write(VALUES, 4)
    (args, kwargs) = calls[0]
    assert args[0] == {"flopsight/mfu": 0.41, "flopsight/tokens_per_second": 1200}
    assert (args[1:] or (kwargs["step"],)) == (4,)


def test_prometheus_serves_gauges_on_loopback():
    pytest.importorskip("prometheus_client")
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sink = serve(port)
    sink.write(VALUES, 5)
    sink.write({**VALUES, "flopsight/mfu": 0.5}, 6)
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    assert "flopsight_mfu 0.5\n" in page
    assert "flopsight_step 6.0\n" in page
    assert 'flopsight_info{flopsight_device="NVIDIA H100"} 1.0' in page
    stranger = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Host": f"evil.example:{port}"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(stranger, timeout=5)


@pytest.mark.parametrize("target", [3, None, [1]])
def test_what_is_no_place_for_values_is_refused(target):
    with pytest.raises(UsageError, match="Values go to"):
        sink_for(target)


def test_a_port_that_is_taken_is_said():
    pytest.importorskip("prometheus_client")
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="choose another"):
            serve(taken.getsockname()[1])
