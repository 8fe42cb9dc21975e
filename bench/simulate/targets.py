"""What is to be reached, what was, and whether that is enough."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a figure; the figure is the worst of all seeds."""

    name: str
    most: float
    result: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Say whether the figure keeps the bound."""
        return self.result <= self.most

    def row(self) -> list[str]:
        """Return it as a row of a table."""
        return [
            self.name,
            f"{self.most:g}{self.unit}",
            f"{self.result:.3g}{self.unit}",
            "met" if self.is_met else "MISSED",
        ]
