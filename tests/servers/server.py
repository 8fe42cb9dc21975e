"""What the tests ask of every web server."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.daemon import Daemon

SHIPPED = Path(__file__).resolve().parents[2] / "config"


@dataclass(frozen=True, slots=True)
class Application:
    """Where the farm listens, and where its scripts lie."""

    socket: Path
    port: int
    root: Path


@dataclass(frozen=True, slots=True)
class Running:
    """A web server that accepts requests, and the file with its errors."""

    port: int
    daemon: Daemon
    log: Path


@dataclass(frozen=True, slots=True)
class Server:
    """One web server in one configuration, and what it is known not to do.

    Each ``False`` is a limit of that server, whatever the application does
    (docs: `config/*` say which settings avoid it).
    """

    name: str
    missing: Callable[[], str | None]
    serve: Callable[[Path, Application], AbstractContextManager[Running]]
    keeps: bool = False  # connections to the application are reused
    takes_chunked: bool = True  # request bodies without a length, of any size
    tells_abort: bool = True  # that a client has gone, while nothing is written
    sees_files: bool = True  # and serves them
    sees_scripts: bool = True  # knows which files are scripts, and where they end
    completes_directories: bool = True  # with the slash that was forgotten
    follows_own_links: bool = True  # symbolic links to files of their owner


@dataclass(frozen=True, slots=True)
class Variants:
    """What the comments of one web server's configuration offer."""

    name: str
    missing: Callable[[], str | None]
    front_controller: Callable[[Path, Application], AbstractContextManager[Running]]
    error_pages: Callable[[Path, Application], AbstractContextManager[Running]]
    sees_files: bool = True


def shipped(name: str, changes: Mapping[str, str]) -> str:
    """Read a configuration of ``config/`` and put this test's values into it."""
    text = (SHIPPED / name).read_text()
    for old, new in changes.items():
        assert old in text, f"config/{name} has no longer {old!r}"
        text = text.replace(old, new)
    return text
