"""`flopsight hardware`: list the catalogue, show one entry with its sources, or match this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

app = App(name="hardware", help="Look chips up, or match this machine's.", help_format="plaintext")

Flag = Annotated[bool, Parameter(negative=())]
Files = Annotated[list[Path] | None, Parameter(name="--hardware-file", negative=(), consume_multiple=False)]


@app.default
@app.command(name="list")
def list_(
    name: str | None = None,
    *,
    vendor: str | None = None,
    status: Literal["shipping", "legacy", "announced"] | None = None,
    dtype: str = "bf16",
    links: Flag = False,
    cpus: Flag = False,
    hardware_file: Files = None,
    json: Flag = False,
) -> None:
    """List the chips: dense matrix peak, memory and bandwidth of one unit.

    Parameters
    ----------
    name
        Show this entry instead, as `flopsight hardware show` does.
    vendor
        Only chips of this vendor.
    status
        Only chips that are shipping, legacy or announced.
    dtype
        The number format of the peak shown.
    links
        List links instead of chips.
    cpus
        List processor families instead of chips.
    hardware_file
        A chip file of your own; may be repeated.
    json
        Print JSON (its schema: `flopsight schema hardware`).
    """
    from flopsight import api
    from flopsight.cli.output import show as print_result

    found = api.hardware(
        name, vendor=vendor, status=status, dtype=dtype, links=links, cpus=cpus, files=hardware_file or ()
    )
    print_result(found, as_json=json)


@app.command(name="show")
def show(name: str, *, hardware_file: Files = None, json: Flag = False) -> None:
    """Show a chip, a node ("8xH200"), a link or a processor family, every number with its source.

    Parameters
    ----------
    name
        An id, a driver's exact string, or a short name such as h100-sxm, tpu-v5e, nvlink4.
    hardware_file
        A chip file of your own; may be repeated.
    json
        Print JSON (its schema: `flopsight schema hardware`).
    """
    from flopsight import api
    from flopsight.cli.output import show as print_result

    print_result(api.hardware(name, files=hardware_file or ()), as_json=json)


@app.command(name="here")
def here(*, jax: Flag = False, hardware_file: Files = None, json: Flag = False) -> None:
    """Match this machine's devices by the exact names their drivers report.

    Parameters
    ----------
    jax
        Import JAX and ask it, which may take seconds and hold a TPU.
    hardware_file
        A chip file of your own; may be repeated.
    json
        Print JSON (its schema: `flopsight schema hardware`).
    """
    from flopsight import api
    from flopsight.cli.output import show as print_result

    print_result(api.hardware("here", files=hardware_file or (), jax=jax), as_json=json)
