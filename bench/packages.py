"""Debian packages unpacked into a directory, beside whatever is installed."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "luafarm-bench"
)


class PackagesError(RuntimeError):
    """The packages could not be fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class Packages:
    """Some packages, unpacked together under ``CACHE`` when they are first needed."""

    name: str
    packages: tuple[str, ...]

    @property
    def root(self) -> Path:
        """Where their files lie, as if that were ``/``."""
        return CACHE / self.name

    def fetch(self) -> None:
        """Download and unpack them unless that was done before."""
        if self.root.is_dir():
            return
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            raise PackagesError("no apt-get and dpkg here")
        work = CACHE / f"{self.name}.{os.getpid()}"
        shutil.rmtree(work, ignore_errors=True)
        archives, unpacked = work / "archives", work / "root"
        archives.mkdir(parents=True)
        unpacked.mkdir()
        try:
            self._run(["apt-get", "download", "-q", *self.packages], archives)
            for archive in sorted(archives.glob("*.deb")):
                self._run(["dpkg", "-x", str(archive), str(unpacked)], archives)
            unpacked.rename(self.root)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @staticmethod
    def _run(command: list[str], directory: Path) -> None:
        try:
            subprocess.run(
                command, cwd=directory, check=True, capture_output=True, timeout=120
            )
        except subprocess.SubprocessError as error:
            stderr = getattr(error, "stderr", None) or b""
            last = stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise PackagesError(" ".join([f"{command[0]} failed:", *last])) from error
