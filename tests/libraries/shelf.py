"""Where libraries are kept once they are fetched: one directory for each package.

Debian's source packages have what binary packages leave out, the tests of a library.
They are fetched by apt-get with lists of its own, so that nobody has to be root, and
the machine's configuration stays as it is. What one release has not, another may have.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

RELEASES: Final = ("trixie", "bookworm")
"""Debian's releases, the one to try first at the beginning."""

KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
OWN: Final = Path(__file__).parent
FETCH_S: Final = 600.0


class NotFetchedError(Exception):
    """A package that cannot be had, and why."""


def default() -> Path:
    """Return the directory that outlives checkouts of this project."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "luafarm-libraries"


class Shelf:
    """Packages in a directory; each is fetched once."""

    def __init__(self, place: Path | None = None) -> None:
        self._place = place or default()

    def get(self, source: str) -> Path:
        """Return the directory of a package, which nobody may write to."""
        kind, _, name = source.rpartition(":")
        if kind == "own":
            return OWN / name
        target = self._place / f"{kind or 'src'}-{name}"
        self._place.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if not target.exists():
                fresh = Path(tempfile.mkdtemp(prefix="fresh-", dir=self._place))
                try:
                    _FETCHERS[kind](self, name, fresh)
                    (fresh / "x").rename(target)
                except (OSError, subprocess.SubprocessError, tarfile.TarError) as error:
                    raise NotFetchedError(f"{source}: {error}") from error
                finally:
                    shutil.rmtree(fresh, ignore_errors=True)
        return target

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._place / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _apt(self, release: str, where: Path, *command: str) -> str:
        """Run apt-get on the source packages of a release; return why it failed."""
        lists = self._place / f"apt-{release}"
        options = {
            "Dir::Etc::sourcelist": lists / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": lists / "lists",
            "Dir::Cache": lists / "cache",
            "APT::Sandbox::User": "root",
            "Acquire::Retries": "2",
        }
        given = [
            word
            for item in options.items()
            for word in ("-o", "=".join(map(str, item)))
        ]
        return _run(["apt-get", "-q", *given, *command], where)

    def _lists(self, release: str) -> str:
        """See to it that a release's list of source packages is here."""
        lists = self._place / f"apt-{release}"
        if (lists / "complete").exists():
            return ""
        for made in ("lists/partial", "cache/archives/partial"):
            (lists / made).mkdir(parents=True, exist_ok=True)
        mirror = _mirror()
        if not mirror:
            return "apt's sources name no mirror of Debian"
        signed = f"[signed-by={KEYRING}]"
        (lists / "sources.list").write_text(
            f"deb-src {signed} {mirror} {release} main\n"
        )
        failed = self._apt(
            release, lists, "-o", "APT::Update::Error-Mode=any", "update"
        )
        if not failed:
            (lists / "complete").touch()
        return failed

    def _source_package(self, name: str, fresh: Path) -> None:
        reasons = []
        for release in RELEASES:
            failed = self._lists(release)
            if not failed:
                failed = self._apt(release, fresh, "source", "--download-only", name)
                # the packaging may be missing: only the authors' archive is wanted
                found = [*fresh.glob("*.orig.tar.*")]
                archives = [path for path in found if path.suffix != ".asc"]
                if archives:
                    _unpack(archives[0], fresh / "x")
                    return
            reasons.append(f"{release}: {failed}")
        raise NotFetchedError(f"{name}: no source package ({'; '.join(reasons)})")

    def _binary_package(self, name: str, fresh: Path) -> None:
        failed = _run(["apt-get", "-q", "download", name], fresh)
        found = [*fresh.glob("*.deb")]
        if not found:
            raise NotFetchedError(f"{name}: {failed}")
        failed = _run(["dpkg-deb", "-x", str(found[0]), "x"], fresh)
        if failed:
            raise NotFetchedError(f"{name}: {failed}")

    def _python_package(self, name: str, fresh: Path) -> None:
        (fresh / "x").mkdir()
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        failed = _run(
            [*pip, "--no-binary", ":all:", "--no-build-isolation", name], fresh
        )
        found = [*fresh.glob("*.tar.gz")]
        if not found:
            raise NotFetchedError(f"{name}: {failed}")
        _unpack(found[0], fresh / "x")


_FETCHERS: Final = {
    "": Shelf._source_package,
    "deb": Shelf._binary_package,
    "pypi": Shelf._python_package,
}


def _mirror() -> str:
    """Return the mirror that this machine has its packages from; empty: none."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    found = (line.rstrip("/") for line in done.stdout.splitlines())
    return next((line for line in found if line.endswith("/debian")), "")


def _run(command: list[str], where: Path) -> str:
    """Run a command; return its last words if it failed."""
    try:
        done = subprocess.run(
            command,
            cwd=where,
            capture_output=True,
            text=True,
            check=False,
            timeout=FETCH_S,
        )
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return f"not within {FETCH_S:.0f} s"
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    wrong = [line for line in lines if line.startswith(("E:", "Err:", "ERROR"))]
    return "" if done.returncode == 0 else (wrong or lines or ["no word"])[0][:200]


def _unpack(archive: Path, target: Path) -> None:
    """Unpack an archive without the one directory that holds everything in it."""
    inside = target.with_name("inside")
    with tarfile.open(archive) as tar:
        tar.extractall(inside, filter="data")
    entries = [*inside.iterdir()]
    alone = len(entries) == 1 and entries[0].is_dir()
    if target.exists():
        target.rmdir()
    (entries[0] if alone else inside).rename(target)
