"""Whether the modules of a package are whole."""

import importlib
import pkgutil


def load_all(package: str) -> None:
    """Import every module of a package. Raise whatever one of them raises.

    Most of a program is imported when it is first needed: what is broken in it would
    come out then.
    """
    top = importlib.import_module(package)
    for found in pkgutil.walk_packages(top.__path__, f"{package}.", onerror=_raise):
        if not found.name.endswith(".__main__"):
            importlib.import_module(found.name)


def _raise(_name: str) -> None:
    raise  # noqa: PLE0704 - called where a package could not be imported
