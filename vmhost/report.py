"""What a VM host tells its supervisor while it starts: lines of JSON on a pipe.

First `{"layers": [[name, holds, detail], ...]}` from the confinement; then, from the
host itself, any line without `layers`: it is ready and serves from then on. A host that
lacks a required layer adds `"lacking": ["name: why", ...]` to the first line and ends.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from luafarm.errors import ProtocolError
from vmhost.sandbox.layers import Layer

MAX_LINE: Final = 16384  # the longest honest one, all layers with details, has 2000


@dataclass(frozen=True, slots=True)
class LayersTold:
    """The host is confined, as far as `layers` tell."""

    layers: tuple[Layer, ...]
    lacking: tuple[str, ...]  # required layers that do not hold; it ends then


@dataclass(frozen=True, slots=True)
class ServingTold:
    """The host serves."""


def write_sealed(fd: int, layers: Sequence[Layer], lacking: Sequence[str]) -> None:
    """Report the confinement; one atomic write."""
    rows = [[layer.name, layer.holds, layer.detail] for layer in layers]
    _write(fd, {"layers": rows, "lacking": list(lacking)})


def write_ready(fd: int) -> None:
    """Report that the host serves from now on."""
    _write(fd, {"ready": True})


def _write(fd: int, value: dict[str, object]) -> None:
    os.write(fd, json.dumps(value).encode() + b"\n")


def parse(line: bytes) -> LayersTold | ServingTold:
    """Return what a line says. Raise ProtocolError when it is no report."""
    try:
        value = json.loads(line)
        if "layers" not in value:
            return ServingTold()
        layers = [
            Layer(str(name), holds is True, str(detail))
            for name, holds, detail in value["layers"]
        ]
        return LayersTold(tuple(layers), tuple(str(text) for text in value["lacking"]))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProtocolError(f"no report of a VM host: {error}") from None
