"""The hub's client, replaced by one that answers or refuses as the real one does; nothing goes over the network."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace

import pytest

hub_errors = pytest.importorskip("huggingface_hub.errors")

from flopsight.errors import BadFile, MissingCapability, UsageError  # noqa: E402
from flopsight.facts import Unknown  # noqa: E402
from flopsight.models.sources.hub import fetch_config  # noqa: E402


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Answers with a config and one tensor; a test replaces what it wants to see fail."""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    info = SimpleNamespace(dtype="BF16", shape=[2, 3], data_offsets=(0, 12))
    found = SimpleNamespace(files_metadata={"model.safetensors": SimpleNamespace(tensors={"a": info})})
    asked = []

    def download(repo_id, filename, **options):
        asked.append(filename)
        return str(tmp_path / filename)

    import huggingface_hub

    from flopsight.models.sources import hub as ours

    monkeypatch.setattr(ours, "_reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "get_safetensors_metadata", lambda repo_id, **options: found)
    return SimpleNamespace(asked=asked, folder=tmp_path, package=huggingface_hub, info=info)


def refusing(error):
    def ask(*args, **options):
        raise error

    return ask


def transport():
    """The HTTP library under this version of the hub's client."""
    return importlib.import_module(hub_errors.HfHubHTTPError.__bases__[0].__module__.split(".")[0])


def http(kind, status=404):
    httpx = transport()
    request = httpx.Request("GET", "https://hub.invalid")
    return kind("no such thing\nsecond line", response=httpx.Response(status, request=request))


def test_config_and_headers_only(hub):
    model = fetch_config("org/name")
    assert model.config == {"model_type": "llama"}
    (tensor,) = model.tensors
    assert (tensor.name, tensor.dtype.name, tensor.shape, tensor.bytes) == ("a", "bf16", (2, 3), 12)
    assert hub.asked == ["config.json"]
    assert isinstance(fetch_config("org/name", tensors=False).tensors, Unknown)


@pytest.mark.parametrize("repo_id", ["name", "../x", "a/b/c", "org/..", "https://x/y", "org/na me", "", "org/"])
def test_ids_of_the_wrong_form_are_not_asked_for(hub, repo_id):
    with pytest.raises(UsageError):
        fetch_config(repo_id)
    assert hub.asked == []


def failures():
    httpx = transport()
    return [
        (http(hub_errors.GatedRepoError, 403), "gated"),
        (http(hub_errors.RepositoryNotFoundError, 401), "has no org/name"),
        (http(hub_errors.RemoteEntryNotFoundError), "no such thing"),
        (http(hub_errors.HfHubHTTPError, 503), "no such thing"),
        (hub_errors.OfflineModeIsEnabled("offline mode is enabled"), "offline"),
        (hub_errors.LocalEntryNotFoundError("no connection"), "no connection"),
        (hub_errors.HFValidationError("bad id"), "bad id"),
        (httpx.ConnectError("Name or service not known"), "not known"),
        (httpx.ReadTimeout("timed out"), "timed out"),
        (ConnectionResetError("reset"), "reset"),
        (TimeoutError(), "TimeoutError"),
        (RuntimeError("client has been closed"), "closed"),
    ]


@pytest.mark.parametrize(("error", "words"), failures(), ids=lambda x: type(x).__name__)
def test_every_refusal_is_one_sentence(hub, monkeypatch, error, words):
    monkeypatch.setattr(hub.package, "hf_hub_download", refusing(error))
    with pytest.raises(MissingCapability, match=words) as e:
        fetch_config("org/name")
    assert "\n" not in str(e.value)
    monkeypatch.undo()


@pytest.mark.parametrize(
    "error",
    [hub_errors.NotASafetensorsRepoError("x"), hub_errors.SafetensorsParsingError("x"), ConnectionResetError("x")],
    ids=lambda e: type(e).__name__,
)
def test_a_config_without_headers_is_still_a_config(hub, monkeypatch, error):
    monkeypatch.setattr(hub.package, "get_safetensors_metadata", refusing(error))
    model = fetch_config("org/name")
    assert model.config["model_type"] == "llama"
    assert isinstance(model.tensors, Unknown)


def test_without_the_network_only_the_cache_is_asked(hub, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("socket.getaddrinfo", refusing(OSError("no name")))
    for name in (
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "https_proxy",
        "http_proxy",
        "all_proxy",
        "no_proxy",
        "NO_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    seen = {}
    monkeypatch.setattr(
        hub.package, "hf_hub_download", lambda *a, **o: seen.update(o) or str(hub.folder / "config.json")
    )
    monkeypatch.setattr(hub.package, "get_safetensors_metadata", refusing(AssertionError("asked")))
    assert fetch_config("org/name").tensors == Unknown("no network for headers")
    assert seen["local_files_only"] is True


def test_what_was_downloaded_is_checked(hub):
    hub.info.data_offsets = (12, 0)
    with pytest.raises(BadFile):
        fetch_config("org/name")
    (hub.folder / "config.json").write_text("<html>")
    with pytest.raises(BadFile, match="not JSON"):
        fetch_config("org/name")


def test_without_the_package(monkeypatch):
    class Absent:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.split(".")[0] == "huggingface_hub":
                raise ModuleNotFoundError(name)

    for name in [name for name in sys.modules if name.split(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent, *sys.meta_path])
    with pytest.raises(MissingCapability, match=r"pip install \"flopsight\[hf\]\""):
        fetch_config("org/name")
