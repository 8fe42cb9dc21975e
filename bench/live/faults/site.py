"""The scripts of a trial, in the language of its server, and how they are deployed."""

import time
from pathlib import Path
from typing import Final

from bench.live.faults.order import MODULE, SCRIPT
from bench.live.faults.verdict import Deployed

_TEMPLATES: Final = Path(__file__).with_name("scripts")
_OTHERS: Final = ("loop", "greedy")
_MODULES: Final = {"lua": "return {}\n", "php": "<?php return {};\n"}


class Site:
    """A root with the script that visitors ask for, and the module that it needs.

    language: how the templates end that the server can run.
    """

    def __init__(self, root: Path, ledger: Path, suffix: str, language: str) -> None:
        self.ledger = ledger
        self.deploys: list[Deployed] = []
        self._root = root
        self._suffix = suffix
        self._language = language
        ledger.touch()
        ledger.chmod(0o666)  # workers have users of their own
        for name in _OTHERS:
            text = (_TEMPLATES / f"{name}.{language}").read_text()
            (root / f"{name}.{suffix}").write_text(text)
        self.deploy()

    def deploy(self) -> None:
        """Put a further generation in place: two files, each by rename."""
        generation = len(self.deploys) + 1
        module = _MODULES[self._suffix].format(generation)
        page = (
            (_TEMPLATES / f"{SCRIPT}.{self._language}")
            .read_text()
            .replace("@GENERATION@", str(generation))
            .replace("@LEDGER@", str(self.ledger))
            .replace("@ROOT@", str(self._root))
        )
        fresh = []
        for name, text in ((MODULE, module), (SCRIPT, page)):
            file = self._root / f".{name}.new"
            file.write_text(text)
            fresh.append((file, self._root / f"{name}.{self._suffix}"))
        for file, place in fresh:
            file.rename(place)
        self.deploys.append(Deployed(generation, time.monotonic()))
