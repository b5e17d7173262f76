"""A model on the Hugging Face hub: its config.json, and the shapes in its safetensors headers by range requests.

Only when asked, and never code or weights. Needs the `hf` extra and the network.
"""

from __future__ import annotations

import importlib
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from flopsight.dtypes import dtype
from flopsight.errors import BadFile, MissingCapability, UsageError
from flopsight.facts import Unknown
from flopsight.models.sources.json_config import read_config
from flopsight.models.sources.stream import shown
from flopsight.models.sources.tensors import StoredTensor

T = TypeVar("T")

_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class HubModel:
    """What the hub says of a model without any weight being downloaded; tensors are Unknown where it has no headers."""

    repo_id: str
    config: dict[str, Any]
    tensors: tuple[StoredTensor, ...] | Unknown


def fetch_config(repo_id: str, *, revision: str | None = None, tensors: bool = True) -> HubModel:
    """Download a model's config.json into the hub's cache and, unless told not to, read its safetensors headers.

    Raises UsageError for an id of the wrong form, MissingCapability when huggingface_hub, the network, the repository
    or the permission is not there, and BadConfig or BadFile for a file that cannot be true.
    """
    if not _REPO.fullmatch(repo_id):
        raise UsageError(f"A hub id such as organisation/name was expected, and {shown(repo_id)} was given.")
    hub = _package("huggingface_hub")
    options = {"revision": revision, "etag_timeout": _SECONDS, "local_files_only": not _reachable()}
    path: str = _asking(repo_id, lambda: hub.hf_hub_download(repo_id, "config.json", **options))
    config = read_config(path)
    if not tensors or options["local_files_only"]:
        return HubModel(
            repo_id, config, Unknown("headers were not asked for" if not tensors else "no network for headers")
        )
    return HubModel(repo_id, config, _tensors(hub, repo_id, revision))


def _reachable() -> bool:
    """Whether the hub's name resolves; its client would retry for half a minute before it looks into its cache."""
    host = urlsplit(_package("huggingface_hub.constants").ENDPOINT).hostname
    try:
        return bool(getproxies() or socket.getaddrinfo(host, 443))
    except OSError:
        return False


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        how = 'Install it with: pip install "flopsight[hf]", or give a local config.json'
        raise MissingCapability(f"Reading from the hub needs {name}, which is not installed. {how}.") from None


def _asking(repo_id: str, ask: Callable[[], T]) -> T:
    """Run one request; every way in which the hub can refuse becomes one sentence."""
    errors = _package("huggingface_hub.errors")
    try:
        return ask()
    except errors.GatedRepoError:
        raise MissingCapability(f"{repo_id} is gated: accept its terms on the hub, then run `hf auth login`.") from None
    except errors.RepositoryNotFoundError:
        raise MissingCapability(
            f"The hub has no {repo_id} that this user may see. Check the spelling or log in."
        ) from None
    # The HTTP library changed with the client's versions (requests, httpx, httpx2): its root is a base of the hub's.
    except (OSError, ValueError, RuntimeError, *errors.HfHubHTTPError.__bases__) as e:
        why = (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
        how = "Check the network, or download config.json elsewhere and give its path"
        raise MissingCapability(f"{repo_id} could not be read from the hub ({why}). {how}.") from None


def _tensors(hub: Any, repo_id: str, revision: str | None) -> tuple[StoredTensor, ...] | Unknown:
    errors = _package("huggingface_hub.errors")
    try:
        found = _asking(repo_id, lambda: _headers(hub, errors, repo_id, revision))
    except MissingCapability as e:
        return Unknown(str(e))
    if found is None:
        return Unknown(f"{repo_id} has no safetensors headers on the hub")
    return tuple(_tensor(name, info) for file in found.files_metadata.values() for name, info in file.tensors.items())


def _headers(hub: Any, errors: Any, repo_id: str, revision: str | None) -> Any:
    try:
        return hub.get_safetensors_metadata(repo_id, revision=revision)
    except (errors.NotASafetensorsRepoError, errors.SafetensorsParsingError):
        return None


def _tensor(name: str, info: Any) -> StoredTensor:
    begin, end = info.data_offsets
    if end < begin:
        raise BadFile(f"The hub gives {shown(name)} the bytes {begin} to {end}. Download the file's header again.")
    return StoredTensor(name, dtype(info.dtype), tuple(info.shape), end - begin)
