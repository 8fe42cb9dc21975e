"""What `make layers` asks besides import-linter's own contracts: who is pure.

A module is pure unless it says below its docstring that it is not: "# Impure." or "#
Impure, compiled." So a new module is held to purity until somebody decides otherwise.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

from tests.marks import marks


def faults(
    graph: ImportGraph, modules: Iterable[str], impure: set[str], forbidden: list[str]
) -> list[str]:
    """Return what is wrong, a sentence each.

    A pure module reaches a forbidden one, maybe through others; an impure one does not.
    """
    present = [module for module in forbidden if module in graph.modules]
    found = []
    for module in sorted(modules):
        chains = (graph.find_shortest_chain(module, end) for end in present)
        chain = next((chain for chain in chains if chain), None)
        if chain and module not in impure:
            found.append(" -> ".join(chain))
        elif not chain and module in impure:
            found.append(f"{module} is marked impure and reaches nothing")
    return found


class PureContract(Contract):
    """No module without the mark reaches a forbidden one, and every mark is true."""

    packages = fields.ListField(subfield=fields.StringField())
    forbidden_modules = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Judge every module of the packages."""
        packages = cast("list[str]", self.packages)
        ours = [name for name in graph.modules if name.partition(".")[0] in packages]
        impure = {name for name in ours if "impure" in marks(_source(name))}
        forbidden = cast("list[str]", self.forbidden_modules)
        found = faults(graph, ours, impure, forbidden)
        return ContractCheck(kept=not found, metadata={"faults": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the faults."""
        for fault in cast("list[str]", check.metadata["faults"]):
            output.print_error(fault)


def _source(module: str) -> str:
    path = Path(module.replace(".", "/"))
    package = path / "__init__.py"
    return (package if package.exists() else path.with_suffix(".py")).read_text()
