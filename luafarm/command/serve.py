"""The commands that serve: `luafarm up`, and each role by itself."""

# Impure.

import argparse
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from luafarm import modules
from luafarm.command import greeting, inheritance, preflight, up
from luafarm.command.arguments import DONE, FAILED
from luafarm.command.inheritance import Inheritance
from luafarm.command.starter import SUPERVISOR
from luafarm.config import configure
from luafarm.config.configure import Configuration, Given
from luafarm.config.options import toml_list
from luafarm.config.settings import Settings
from luafarm.errors import SettingsError
from luafarm.process import children, logs, notify, privileges, rundir
from luafarm.process.children import TRIAL
from luafarm.process.pulse import Pulse

DEFAULT_POOL: Final = "default"
DEFAULT_LISTEN: Final = "127.0.0.1:9000"


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop; return the exit code. Raise SettingsError."""
    command = arguments.command
    roles = up.ROLES if command == "up" else (command,)
    left = inheritance.take()
    if left is None:
        return _parent(arguments, roles, left).run()
    if left.is_trial:
        return _try(arguments, roles, left)
    try:
        parent = _parent(arguments, roles, left)
    except Exception as error:  # noqa: BLE001
        # the trial had passed; what has become wrong since must not end the farm
        parent = _parent_as_it_was(command, roles, left, str(error))
    inheritance.settle(left)
    return parent.run()


def _configuration(arguments: argparse.Namespace) -> Configuration:
    match arguments.command:
        case "up":
            return up_configuration(arguments)
        case up.FRONTS:
            given = _of_fronts(arguments)
            return configure.load(arguments.config, arguments.sets, given=given)
        case _:
            return configure.load(arguments.config, arguments.sets)


def _checked(
    arguments: argparse.Namespace, roles: Sequence[str], left: Inheritance | None
) -> Configuration:
    """Return the configuration, with which these roles could start here."""
    configuration = _configuration(arguments)
    configure.tell(configuration)
    held = None if left is None else left.listeners
    preflight.check(configuration, *roles, held=held)
    if left is not None:
        _check_same(left, configuration)
        if arguments.command == "up":
            _check_explicit(arguments, left.settings)
    return configuration


def _try(arguments: argparse.Namespace, roles: Sequence[str], left: Inheritance) -> int:
    """Look whether a farm could go on with what is there now; return 0 if so.

    Each role looks for itself as well: its modules are as new as this one.
    """
    modules.load_all("luafarm")
    configuration = _checked(arguments, roles, left)
    settings = configuration.settings
    run = rundir.locate(settings.paths)
    for role, fd in left.claims.items():
        if not rundir.is_claimed(run, role, os.getppid(), fd):
            raise SettingsError(
                f'[paths] run = "{run}": {role}.pid there is not the lock that this '
                "farm holds, since the directory was exchanged; stop and start it"
            )
    rundir.prepare(settings.paths, settings.security.user)
    given = passed_on(configuration, arguments)
    for role in roles:
        command = children.command(role, [*given, TRIAL])
        code = subprocess.run(
            command,
            env=children.environment(os.environ),
            preexec_fn=children.tie(),
            check=False,
        ).returncode
        if code:
            return code if code > 0 else FAILED
    return DONE


def _parent(
    arguments: argparse.Namespace, roles: Sequence[str], left: Inheritance | None
) -> up.Parent:
    configuration = _checked(arguments, roles, left)
    settings = configuration.settings
    _log(arguments.command, settings)
    greeting.warn(configuration)
    given = passed_on(configuration, arguments)
    claims = _claims(settings, roles) if left is None else left.claims
    pulse = Pulse(manager=notify.take(os.environ))
    return up.Parent(configuration, given, roles, claims, pulse, left)


def _parent_as_it_was(
    command: str, roles: Sequence[str], left: Inheritance, why: str
) -> up.Parent:
    configuration = Configuration(
        left.settings, {}, Path(left.file) if left.file else None
    )
    _log(command, left.settings)
    pulse = Pulse(manager=notify.take(os.environ))
    return up.Parent(
        configuration, left.arguments, roles, left.claims, pulse, left, refused=why
    )


def _log(command: str, settings: Settings) -> None:
    logs.setup(settings.log, f"luafarm-{command}", privileges.ids(settings.security))


def _claims(settings: Settings, roles: Sequence[str]) -> dict[str, int]:
    """Take the locks of these roles, which last until this process has ended.

    That of a whole farm comes first: fronts of a second one would find the broker of
    the first. The broker takes its own, when its predecessor has left it.
    """
    wanted = ["farm"] if tuple(roles) == up.ROLES else []
    if SUPERVISOR in roles:
        wanted.append(f"vmhost-{rundir.machine(settings)}")
    if not wanted:
        return {}
    run = rundir.prepare(settings.paths, settings.security.user)
    return {role: rundir.Claim(run, role).fd for role in wanted}


def _check_same(left: Inheritance, configuration: Configuration) -> None:
    """Raise SettingsError for what can only count after an end of the farm."""
    file = "" if configuration.file is None else str(configuration.file)
    if left.file not in {"", file}:
        reasons = "; ".join([f"no {left.file} counts", *configuration.notes])
        raise SettingsError(reasons)
    before, now = left.settings, configuration.settings
    for name, old, new in (
        ("[paths] run", rundir.locate(before.paths), rundir.locate(now.paths)),
        ("[vmhost] machine", rundir.machine(before), rundir.machine(now)),
        ("[security] user", before.security.user, now.security.user),
    ):
        if old != new:
            raise SettingsError(
                f'{name} = "{new}": it was "{old}", and another one counts after a '
                "stop and a start"
            )


def _check_explicit(arguments: argparse.Namespace, before: Settings) -> None:
    """Raise SettingsError for defaults in place of what a farm was told to serve.

    A file that was cut short must not have it serve something else somewhere else.
    """
    plain = configure.load(arguments.config, arguments.sets)
    pool, front = plain.settings.pool, plain.settings.front
    if arguments.root is None and not pool and set(before.pool) != {DEFAULT_POOL}:
        was = ", ".join(sorted(before.pool))
        raise SettingsError(f"no [pool] is configured any more; there was {was}")
    if arguments.listen or arguments.http or front.listen or front.http:
        return
    if before.front.listen != (DEFAULT_LISTEN,):
        was = ", ".join([*before.front.listen, *filter(None, [before.front.http])])
        raise SettingsError(
            f"neither [front] listen nor http is configured any more; there was {was}"
        )


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
