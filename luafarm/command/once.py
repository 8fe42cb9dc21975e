"""`luafarm run` and `luafarm check`: a farm of one VM host for one request.

The farm is private and goes the way of every request: its run directory is temporary,
its settings are the configured ones, but for what would collide with another farm.
"""

# Impure.

import argparse
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from luafarm import output
from luafarm.command import asking, manual, preflight, probe
from luafarm.config import checks, configure
from luafarm.config.settings import Log, Paths, PoolSettings, Security, Settings
from luafarm.errors import NoAnswerError, SettingsError
from luafarm.process import children

_READY_S: Final = 15.0
_ASK_S: Final = 1.0
_STOP_S: Final = 5.0
_EVERY_S: Final = 0.02
_OURS: Final = "LUAFARM_"
_UIDS: Final = range(
    62184, 65519
)  # the far part of what `[vmhost] uid_range` defaults to


def run(arguments: argparse.Namespace) -> int:
    """Do what `luafarm run` or `luafarm check` was asked; return the exit code."""
    # without `..`, which no farm takes in the path of a script; links stay as they are
    script = Path(os.path.abspath(arguments.script))  # noqa: PTH100
    if script.is_dir():
        output.say(
            f"luafarm: {arguments.script} is a directory: `luafarm up "
            f"{arguments.script}` serves it; {arguments.command} takes one script"
        )
        return 1
    if not script.is_file():
        output.say(f"luafarm: {arguments.script}: no such file")
        return 1
    configuration = configure.load(arguments.config, arguments.sets)
    configure.tell(configuration)
    settings = configuration.settings
    name, pool, note = _choose(settings, script)
    if note:
        output.say(f"luafarm: {note}")
    body = _body(arguments, settings.front.max_body + 1)  # a byte more is refused
    with tempfile.TemporaryDirectory(prefix="luafarm-") as directory:
        private = _private(settings, name, pool, Path(directory))
        checks.check(private, {})
        preflight.check_trusted(replace(configuration, settings=private))
        file = Path(directory) / "luafarm.toml"
        text = manual.effective(private)
        _write(file, text.encode("utf-8", "surrogateescape"))
        order = _order(arguments, script)
        if body is not None:
            data = Path(directory) / "body"
            _write(data, body)
            order += ["--data-file", str(data)]
        with _farm(private, file):
            return _serve(file, order)


def _write(file: Path, data: bytes) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:  # which does not name the file when the disk is full
        raise OSError(error.errno, error.strerror, str(file)) from None


def _private(
    settings: Settings, name: str, pool: PoolSettings, directory: Path
) -> Settings:
    return replace(
        settings,
        paths=Paths(run=str(directory / "run")),
        front=replace(settings.front, listen=(), http=""),
        broker=replace(settings.broker, endpoint="", takeover=0.0),
        vmhost=replace(settings.vmhost, endpoint="", uid_range=_uid_range()),
        pool={name: replace(pool, hosts=1, preload=())},
        log=Log(level="error", file=str(directory / "farm.log")),
        security=Security(),
    )


def _uid_range() -> str:
    # not the first ones: a farm that runs on this machine uses those, and how many
    # threads a uid may have is counted over all farms
    first = _UIDS.start + secrets.randbelow(len(_UIDS) - 1)
    return f"{first}-{first}"


def _choose(settings: Settings, script: Path) -> tuple[str, PoolSettings, str]:
    """Return the pool for a script, its name, and what is to be told of the choice.

    As in `luafarm up DIRECTORY`, the only pool takes the script's directory if it has
    no root. A script that lies elsewhere gets a pool of defaults.
    """
    for name, pool in settings.pool.items():
        # the current directory, where a script was looked for, has no links in it
        roots = [
            place for root in pool.root for place in (root, os.path.realpath(root))
        ]
        if any(script.is_relative_to(root) for root in roots):
            return name, pool, ""
    here = (str(script.parent),)
    note = ""
    match list(settings.pool.items()):
        case []:
            pass
        case [(name, pool)] if not pool.root:
            return name, replace(pool, root=here), ""
        case pools:
            names = ", ".join(f"[pool.{name}]" for name, _ in pools)
            note = f"{script} lies in no root of {names}: default settings count"
    return "default", PoolSettings(root=here), note


def _order(arguments: argparse.Namespace, script: Path) -> list[str]:
    order = [arguments.command, str(script)]
    if arguments.command == "run":
        order += ["--method", arguments.method or "GET"]
        order += [f"--path-info={arguments.path}", f"--query={arguments.query}"]
        order += [f"--header={header}" for header in arguments.header]
    return order


def _body(arguments: argparse.Namespace, most: int) -> bytes | None:
    data: str | None = getattr(arguments, "data", None)
    if data is None:
        return None
    if data == "-":
        return sys.stdin.buffer.read(most)
    if data.startswith("@"):
        try:
            with Path(data[1:]).open("rb") as file:
                return file.read(most)
        except OSError as error:
            raise SettingsError(f"--data {data}: {error.strerror}") from None
    return os.fsencode(data)


@contextlib.contextmanager
def _farm(settings: Settings, file: Path) -> Iterator[None]:
    arguments = ["--config", str(file)]
    environment = _environment()
    farm: list[children.Child] = []
    try:
        farm.append(children.start("broker", arguments, environment))
        farm.append(children.start("vmhost", arguments, environment))
        _wait(settings, farm)
        yield
    finally:
        for child in reversed(farm):
            child.terminate()
        for child in farm:
            if not child.ends_within(_STOP_S):
                child.kill()
                child.wait()


def _wait(settings: Settings, farm: list[children.Child]) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if any(child.poll() is not None for child in farm):
            break
        with contextlib.suppress(NoAnswerError, ValueError):
            if probe.host_counts(json.loads(asking.status(settings, _ASK_S))):
                return
        time.sleep(_EVERY_S)
    said = Path(settings.log.file)
    if said.exists():
        output.say(said.read_text(errors="replace").rstrip("\n"))
    raise NoAnswerError("the private farm did not start")


def _serve(file: Path, order: list[str]) -> int:
    command = children.command("fcgi.once", ["--config", str(file), *order])
    environment = children.environment(_environment())
    done = subprocess.run(command, env=environment, check=False)
    return done.returncode if done.returncode in {0, 1, 2, output.GONE} else 1


def _environment() -> dict[str, str]:
    """Return the environment without settings: the file has them all."""
    return {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
