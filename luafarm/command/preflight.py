"""Looking at the machine before a role starts: what would fail later fails here.

Everything that is wrong raises SettingsError with one line that names the setting.
"""

# Impure.

import errno
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import luafarm
from luafarm.config import configure, endpoints
from luafarm.config.configure import Configuration
from luafarm.config.options import options
from luafarm.config.settings import Settings
from luafarm.errors import ListenError, SettingsError
from luafarm.keys import curve
from luafarm.process import limits, logs, privileges, rundir, sockets, trusted
from luafarm.process.sockets import Kept

_HOSTS: Final = 4  # of a pool that does not say how many: no fewer on one processor

_ROLES: Final = ("broker", "vmhost", "fcgi")


def check(
    configuration: Configuration, *roles: str, held: Sequence[Kept] | None = None
) -> None:
    """Raise SettingsError when these roles cannot start here.

    held: what this process listens on already, or the one that tries it; None: no
    farm goes on here.
    """
    try:
        _check(configuration, roles, held)
    except SettingsError as error:
        raise configure.explained(error, configuration) from None


def _check(
    configuration: Configuration, roles: tuple[str, ...], held: Sequence[Kept] | None
) -> None:
    settings = configuration.settings
    short = limits.shortage(sum(p.hosts or _HOSTS for p in settings.pool.values()))
    if short:
        raise SettingsError(short)
    try:
        if "broker" in roles:
            _check_roots(settings)
        if "vmhost" in roles and not settings.pool:
            raise _MisfitError(
                "pool", "", "no pool is configured: there is nothing to serve"
            )
        if "fcgi" in roles:
            _check_listeners(settings, held or ())
        if "broker" in roles or "vmhost" in roles:
            _check_trusted(settings)
        _check_keys(settings, roles)
        _check_log(settings, is_beside=held is not None)
        _check_user(settings, roles)
    except _MisfitError as wrong:
        raise SettingsError(_line(configuration, wrong)) from None


def check_trusted(configuration: Configuration) -> None:
    """Raise SettingsError when strangers could write what no sandbox keeps.

    That is what a trusted pool runs, and C modules; also when one of these is missing.
    """
    try:
        _check_trusted(configuration.settings)
    except _MisfitError as wrong:
        raise SettingsError(_line(configuration, wrong)) from None


class _MisfitError(Exception):
    """A setting that does not fit this machine."""

    def __init__(self, section: str, name: str, reason: str) -> None:
        super().__init__(reason)
        self.section = section
        self.name = name


def _line(configuration: Configuration, wrong: _MisfitError) -> str:
    if not wrong.name:
        source = configuration.file or "no configuration file"
        return f"[{wrong.section}]: {wrong} (from {source})"
    section, _, pool = wrong.section.partition(".")
    settings = configuration.settings
    owner = settings.pool[pool] if pool else getattr(settings, section)
    shown = options(section)[wrong.name].show(getattr(owner, wrong.name))
    origin = configuration.origins.get(f"{wrong.section}.{wrong.name}", "default")
    return f"[{wrong.section}] {wrong.name} = {shown}: {wrong} (from {origin})"


def _check_roots(settings: Settings) -> None:
    if not settings.pool:
        raise _MisfitError(
            "pool", "", "no pool is configured: there is nothing to serve"
        )
    for name, pool in settings.pool.items():
        section = f"pool.{name}"
        if not pool.root:
            raise _MisfitError(section, "root", "a directory of scripts is missing")
        for field, paths in (("root", pool.root), ("library", pool.library)):
            for path in paths:
                _check_directory(section, field, Path(path))
    _check_overlap(settings)


def _check_directory(section: str, field: str, path: Path) -> None:
    try:
        is_directory = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise _MisfitError(section, field, f"{path}: {error.strerror}") from None
    if not is_directory:
        raise _MisfitError(section, field, f"{path} is no directory")
    if not os.access(path, os.R_OK | os.X_OK):
        raise _MisfitError(section, field, f"{path} cannot be read")


def _check_overlap(settings: Settings) -> None:
    # `checks` has compared the paths as written; here symlinks count as well
    seen: list[tuple[str, Path]] = []
    for name, pool in settings.pool.items():
        for text in pool.root:
            root = Path(text).resolve()
            for other, there in seen:
                overlap = root.is_relative_to(there) or there.is_relative_to(root)
                if other != name and overlap:
                    reason = (
                        f"{text} is {root}, which overlaps {there} of [pool.{other}]"
                    )
                    raise _MisfitError(f"pool.{name}", "root", reason)
            seen.append((name, root))


def _check_trusted(settings: Settings) -> None:
    for name, circle in trusted.circles(settings).items():
        wrong = trusted.first_fault(settings.pool[name], circle)
        if wrong is not None:
            raise _MisfitError(f"pool.{name}", *wrong)
    for name, pool in settings.pool.items():
        reason = trusted.c_fault(pool)
        if reason:
            raise _MisfitError(f"pool.{name}", "c_modules", reason)


def _check_listeners(settings: Settings, held: Sequence[Kept]) -> None:
    front = settings.front
    if not front.listen and not front.http:
        reason = "neither a FastCGI nor an HTTP listener is configured"
        raise _MisfitError("front", "listen", reason)
    try:
        sockets.attempt(front, held)
    except ListenError as wrong:
        reason = wrong.reason
        if wrong.setting in {"listen", "http"}:
            reason = f"{wrong.value} cannot be used: {reason}"
            is_low = endpoints.is_privileged(endpoints.parse_listener(wrong.value))
            if is_low and wrong.reason == os.strerror(errno.EACCES):
                reason += (
                    "; a port below 1024 needs CAP_NET_BIND_SERVICE, in a unit of "
                    "systemd in CapabilityBoundingSet= and, if it is not started as "
                    "root, in AmbientCapabilities="
                )
        raise _MisfitError("front", wrong.setting, reason) from None


def _check_keys(settings: Settings, roles: tuple[str, ...]) -> None:
    security = settings.security
    texts = (settings.broker.endpoint, settings.vmhost.endpoint)
    is_wanted = any(curve.is_wanted(security, text) for text in texts)
    for role in roles:
        # those of a machine apart may yet meet others by tcp
        if role in _ROLES and (is_wanted or (security.keys and role != "broker")):
            curve.load(Path(security.keys), role, rundir.machine(settings))


def _check_user(settings: Settings, roles: tuple[str, ...]) -> None:
    """See that `[security] user` can read what its processes run and serve."""
    security = settings.security
    ours = [Path(sys.executable), Path(os.__file__), Path(luafarm.__file__)]
    refused = privileges.first_unreadable(security, ours)
    if refused is not None:
        reason = (
            f"it cannot read {refused}, which luafarm itself runs with; install "
            "luafarm and its Python where every user may read them, as in /opt"
        )
        raise _MisfitError("security", "user", reason)
    if "broker" not in roles:
        return
    for name, pool in settings.pool.items():
        for field, texts in (("root", pool.root), ("library", pool.library)):
            refused = privileges.first_unreadable(security, [Path(t) for t in texts])
            if refused is not None:
                reason = f"{refused} cannot be read by {security.user}, [security] user"
                raise _MisfitError(f"pool.{name}", field, reason)


def _check_log(settings: Settings, *, is_beside: bool) -> None:
    owner = privileges.ids(settings.security)
    reason = logs.refusal(settings.log, owner, is_beside=is_beside)
    if reason:
        raise _MisfitError("log", "file", reason)
