"""What is known of a library: where it comes from, what its modules and tests are."""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """How a file of tests is run: see lua/kinds.lua."""

    BUSTED = "busted"
    MORE = "more"
    SCRIPT = "script"
    XUNIT = "xunit"


@dataclass(frozen=True, slots=True)
class Suite:
    """Files of tests of one kind.

    excluded: Lua patterns of names of tests that are not run anywhere; modules: one of
    the modules whose functions are tests; arguments: what each file is called with;
    in_memory: files that the tests write are kept in memory, here and there.
    """

    kind: Kind
    files: str  # a glob below the library's directory
    without: tuple[str, ...] = ()  # file names that are no tests
    excluded: tuple[str, ...] = ()
    modules: str = ""
    in_memory: bool = False
    arguments: tuple[str, ...] = ()
    work: str = ""  # the directory in which they run, below the library's


@dataclass(frozen=True, slots=True)
class Library:
    """A library as its authors hand it out.

    source: a source package of Debian, or one of its binary packages: `deb:NAME`, a
    package of PyPI: `pypi:NAME`; `own:NAME` is a folder beside this file.
    lay: what is put elsewhere before it is used, by new name.
    path: directories in which modules are looked for, below the library's.
    modules: globs of the files that must load; their names are relative to `path`.
    """

    name: str
    source: str
    path: tuple[str, ...] = ("",)
    lay: dict[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ("**/*.lua",)
    without: tuple[str, ...] = ()
    suites: tuple[Suite, ...] = ()
    needs: tuple[str, ...] = ()
