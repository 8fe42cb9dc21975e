"""The layers of the sandbox, as values: what holds, what does not, what is required."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the sandbox: whether it holds, and how or why not."""

    name: str
    holds: bool
    detail: str

    @property
    def sentence(self) -> str:
        """The layer as it appears in lists: "name: how or why not"."""
        return f"{self.name}: {self.detail}"


def lacking(layers: Iterable[Layer], required: Iterable[str]) -> list[str]:
    """Return the sentences of the layers that are required and do not hold."""
    found = {layer.name: layer for layer in layers}
    wanted = [
        found.get(name, Layer(name, holds=False, detail="no such layer here"))
        for name in required
    ]
    return [layer.sentence for layer in wanted if not layer.holds]
