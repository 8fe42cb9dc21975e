"""Prints the table: `python -m tests.libraries [--dialect D] [--write] [NAME ...]`."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from luafarm.dialects import Dialect
from tests import interpreters
from tests.libraries import comparison, table
from tests.libraries.catalogue import CATALOGUE, LIBRARIES
from tests.libraries.comparison import Comparison
from tests.libraries.shelf import NotFetchedError, Shelf
from tests.libraries.site import lay
from tests.vmhost.states import SANDBOXED


def main() -> int:
    """Compare what was named, or everything; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.libraries")
    parser.add_argument("libraries", nargs="*", metavar="LIBRARY")
    parser.add_argument("--dialect", type=Dialect, action="append")
    parser.add_argument("--write", action="store_true", help="into docs/lua-api.md")
    parser.add_argument("--json", type=Path, help="write what is missing, by library")
    arguments = parser.parse_args()
    shelf, found, absent = Shelf(), [], {}
    for name in arguments.libraries or LIBRARIES:
        with tempfile.TemporaryDirectory(prefix="lf") as place:
            try:
                site = lay(CATALOGUE[name], shelf, CATALOGUE, Path(place))
            except NotFetchedError as error:
                absent[name] = str(error)
                _say(f"{name}: NOT FETCHED: {error}")
                continue
            for dialect in arguments.dialect or SANDBOXED:
                if interpreters.missing(dialect):
                    _say(f"{dialect}: {interpreters.missing(dialect)}")
                    continue
                one = comparison.compare(site, dialect)
                found.append(one)
                _tell(one)
    text = table.render(found)
    _say(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(_missing(found), indent=1))
    if arguments.write:
        table.write(text)
    return 1 if absent or any(comparison.unexplained(one) for one in found) else 0


def _tell(one: Comparison) -> None:
    files, tests = one.files, one.tests
    _say(
        f"{one.library}, {one.dialect}: files {files.here} of {len(files.plain)}, "
        f"tests {tests.here} of {len(tests.plain)}"
    )
    for name, said in comparison.unexplained(one).items():
        _say(f"    {name}\n        {said}")


def _missing(found: list[Comparison]) -> dict[str, dict[str, str]]:
    return {
        f"{one.library} {one.dialect}": {**one.files.missing, **one.tests.missing}
        for one in found
    }


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
