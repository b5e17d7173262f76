"""Gauges for Prometheus, on the loopback interface unless another address is asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from flopsight.errors import MissingCapability, UsageError
from flopsight.meter.sinks.sink import Values


@dataclass(frozen=True, slots=True)
class PrometheusSink:
    """Keeps one gauge a value, "flopsight/step_seconds" as `flopsight_step_seconds`; words label `flopsight_info`.

    registry   a prometheus_client CollectorRegistry
    """

    registry: Any
    gauges: dict[str, Any] = field(default_factory=dict)

    def write(self, values: Values, step: int) -> None:
        """Set the gauges."""
        for name, value in {**values, "flopsight/step": step}.items():
            if not isinstance(value, str):
                self._gauge(name).set(value)
        words = {_name(name): value for name, value in values.items() if isinstance(value, str)}
        if words:
            self._info(words)

    def _gauge(self, name: str) -> Any:
        from prometheus_client import Gauge

        if name not in self.gauges:
            self.gauges[name] = Gauge(_name(name), f"{name} of the metered loop", registry=self.registry)
        return self.gauges[name]

    def _info(self, words: dict[str, str]) -> None:
        from prometheus_client import Info

        if "info" not in self.gauges:
            self.gauges["info"] = Info("flopsight", "What the metered loop runs on", registry=self.registry)
        self.gauges["info"].info(words)


def serve(port: int, address: str = "127.0.0.1") -> PrometheusSink:
    """A sink whose gauges are served over HTTP at this port, to requests that name this address as their host.

    Raises MissingCapability without prometheus_client, UsageError for a port that cannot be had.
    """
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app
    except ImportError as error:
        raise MissingCapability("Prometheus gauges need prometheus_client; pip install 'flopsight[live]'.") from error
    registry = CollectorRegistry()
    try:
        server = make_server(
            address, port, _for_hosts({address, "localhost"}, make_wsgi_app(registry)), ThreadingServer, _Quiet
        )
    except (OSError, OverflowError) as error:
        raise UsageError(f"Port {port} of {address} cannot be served: {error}; choose another.") from error
    threading.Thread(target=server.serve_forever, name="flopsight-prometheus", daemon=True).start()
    return PrometheusSink(registry)


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """A request a thread, none of which keeps the program alive."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Scrapes are not news."""


def _for_hosts(names: set[str], app: Any) -> Any:
    """The app, for requests whose Host is one of these names: a page of another site cannot read it (DNS rebinding)."""

    def answer(environ: dict[str, Any], start: Any) -> Any:
        if environ.get("HTTP_HOST", "").rsplit(":", 1)[0] in names:
            return app(environ, start)
        start("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"This address is not served under that name.\n"]

    return answer


def _name(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
