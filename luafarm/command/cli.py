"""The `luafarm` command.

Exit codes are vocabulary: 0 done, 1 failed, 2 wrong usage or configuration.
"""

# Impure.

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from luafarm import output
from luafarm.command import asking, manual, once, preflight, report, up
from luafarm.command.arguments import DONE, FAILED, WRONG, parser
from luafarm.config import configure
from luafarm.config.configure import Configuration, Given
from luafarm.config.options import toml_list
from luafarm.errors import SettingsError
from luafarm.keys import curve
from luafarm.process import (
    children,
    descriptors,
    logs,
    notify,
    privileges,
    rundir,
    sockets,
)
from luafarm.process.pulse import Pulse

DEFAULT_POOL: Final = "default"
DEFAULT_LISTEN: Final = "127.0.0.1:9000"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    descriptors.occupy()
    try:
        code = _code(argv)
        output.flush()
    except output.OutputError as error:
        if error.is_gone:
            return output.GONE
        output.say(f"luafarm: {error}")
        return FAILED
    return code


def _code(argv: Sequence[str] | None) -> int:
    try:
        return _run(parser().parse_args(argv))
    except SystemExit as ended:  # of the parser, which has printed something
        return ended.code if isinstance(ended.code, int) else FAILED
    except SettingsError as error:
        output.say(f"luafarm: configuration: {error}")
        return WRONG
    except asking.NoAnswerError as error:
        output.say(f"luafarm: {error}")
        return FAILED
    except OSError as error:  # the world's: a disk that is full, a file that is gone
        output.say(f"luafarm: {error.filename or 'failed'}: {error.strerror or error}")
        return FAILED
    except KeyboardInterrupt:
        return FAILED


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            return _up(arguments)
        case "fcgi":
            return _fcgi(arguments)
        case "status":
            return _status(arguments)
        case "reload":
            return _reload(arguments)
        case "run" | "check":
            return once.run(arguments)
        case "config":
            return _config(arguments)
        case "keygen":
            for path in curve.keygen(arguments.directory, arguments.names):
                output.put(f"{path}\n")
            return DONE
        case role:
            return _role(role, arguments)


# ---- commands ----------------------------------------------------------------------


def _up(arguments: argparse.Namespace) -> int:
    def configured() -> Configuration:
        return up_configuration(arguments)

    configuration = configured()
    configure.tell(configuration)
    preflight.check(configuration, *up.ROLES)
    settings = configuration.settings
    logs.setup(settings.log, "luafarm-up", privileges.ids(settings.security))
    given = passed_on(configuration, arguments)
    # before any role: fronts of a second farm would find the broker of the first
    claim = rundir.Claim(rundir.prepare(settings.paths, settings.security.user), "farm")
    try:
        pulse = Pulse(manager=notify.take(os.environ))
        return up.Farm(configuration, given, configured, pulse, is_whole=True).run()
    finally:
        claim.release()


def up_configuration(arguments: argparse.Namespace) -> Configuration:
    """Return the configuration of `up` with its options and defaults."""
    plain = configure.load(arguments.config, arguments.sets)
    given = _choices(arguments, plain)
    return configure.load(arguments.config, arguments.sets, given=given)


def _choices(arguments: argparse.Namespace, plain: Configuration) -> list[Given]:
    """Return what the options of `up` and its defaults set."""
    pools = sorted(plain.settings.pool)
    given: list[Given] = []
    if arguments.root is not None or not pools:
        if len(pools) > 1:
            raise SettingsError(
                f"ROOT {arguments.root}: {len(pools)} pools are configured "
                f"({', '.join(pools)}); say their roots in the configuration"
            )
        pools = pools or [DEFAULT_POOL]
        root = toml_list([str((arguments.root or Path()).absolute())])
        given.append(configure.command_line(f"pool.{pools[0]}.root", root, "ROOT"))
    if arguments.hosts is not None:
        hosts = str(arguments.hosts)
        given += [
            configure.command_line(f"pool.{pool}.hosts", hosts, "--hosts")
            for pool in pools
        ]
    given += _of_fronts(arguments)
    front = plain.settings.front
    if arguments.listen:
        listen = toml_list(arguments.listen)
        given.append(configure.command_line("front.listen", listen, "--listen"))
    if arguments.http is not None:
        given.append(configure.command_line("front.http", arguments.http, "--http"))
    if not (arguments.listen or arguments.http or front.listen or front.http):
        given.append(configure.command_line("front.listen", DEFAULT_LISTEN, "default"))
    return given


def _of_fronts(arguments: argparse.Namespace) -> list[Given]:
    """Return what the options that `up` and `fcgi` share set."""
    given: list[Given] = []
    if arguments.fronts is not None:
        text = str(arguments.fronts)
        given.append(configure.command_line("front.processes", text, "--fronts"))
    if arguments.listen_group is not None:
        group = str(arguments.listen_group)
        option = "--listen-group"
        given.append(configure.command_line("front.listen_group", group, option))
    return given


def _fcgi(arguments: argparse.Namespace) -> int:
    def configured() -> Configuration:
        given = _of_fronts(arguments)
        return configure.load(arguments.config, arguments.sets, given=given)

    configuration = configured()
    configure.tell(configuration)
    preflight.check(configuration, "fcgi")
    settings = configuration.settings
    logs.setup(settings.log, "luafarm-fcgi", privileges.ids(settings.security))
    given = passed_on(configuration, arguments)
    pulse = Pulse(manager=notify.take(os.environ))
    return up.Farm(configuration, given, configured, pulse, is_whole=False).run()


def _role(role: str, arguments: argparse.Namespace) -> int:
    configuration = _configuration(arguments)
    preflight.check(configuration, role)
    command = children.command(role, passed_on(configuration, arguments))
    children.ignore_signals()
    os.execve(sys.executable, command, children.environment(os.environ))  # noqa: S606


def _status(arguments: argparse.Namespace) -> int:
    settings = _configuration(arguments).settings
    text = asking.status(settings, arguments.timeout)
    if arguments.json:
        output.put(text + b"\n")
        return DONE
    parts = report.Parts.ALL
    if arguments.scripts or arguments.hosts:
        parts = report.Parts.SCRIPTS if arguments.scripts else report.Parts.HOSTS
    width = shutil.get_terminal_size().columns
    output.put(report.render(text, parts, width))
    return DONE


def _reload(arguments: argparse.Namespace) -> int:
    settings = _configuration(arguments).settings
    path = os.fsencode(arguments.path.absolute()) if arguments.path else b""
    error = asking.reload(
        settings, path, arguments.timeout, wait=arguments.wait, tell=_tell
    )
    if error:
        output.say(f"luafarm: {error}")
        return FAILED
    return DONE


def _tell(text: str) -> None:
    output.say(f"luafarm: {text}")


def _config(arguments: argparse.Namespace) -> int:
    configuration = _configuration(arguments)
    file = configuration.file or "none"
    lines = [f"# configuration file: {file}"]
    group = sockets.group(configuration.settings.front)
    # what a default means here and now, where that depends on the machine
    groups = {"front.listen_group": f": {group}" if group else ""}
    for header, name, rows in manual.tables(configuration.settings):
        lines += ["", header]
        for option, shown in rows:
            place = f"{name}.{option.name}"
            origin = configuration.origins.get(place, f"default{groups.get(place, '')}")
            lines.append(f"{option.name} = {shown}  # {origin}" if shown else "")
    output.put("\n".join(lines) + "\n")
    return DONE


def _configuration(arguments: argparse.Namespace) -> Configuration:
    configuration = configure.load(arguments.config, arguments.sets)
    configure.tell(configuration)
    return configuration


def passed_on(configuration: Configuration, arguments: argparse.Namespace) -> list[str]:
    """Return the arguments by which a role reads the same configuration.

    A file that was found is not named: the role looks for it in the same directory,
    with the same care.
    """
    file: Path | None = arguments.config
    result = ["--config", str(file.absolute())] if file is not None else []
    sets = [f"{'.'.join(given.place)}={given.value}" for given in configuration.given]
    for assignment in [*arguments.sets, *sets]:
        result += ["--set", assignment]
    return result
