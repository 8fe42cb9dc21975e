"""What may not be combined: checks of whole settings, each with its reason.

`check` needs nothing but the settings; `preflight` looks at the machine as well.
"""

# Impure.

import ipaddress
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final, NoReturn

from luafarm import names
from luafarm.config import endpoints
from luafarm.config.options import Value, heading, options
from luafarm.config.settings import PoolSettings, Settings
from luafarm.dialects import NO_JIT, UNSOUND, Dialect
from luafarm.errors import SettingsError

WATCHDOG_LEAST_S: Final = 2.0  # two beats of `luafarm.process.pulse`

_UID_RANGE: Final = re.compile(r"(\d{1,10})-(\d{1,10})", re.ASCII)
_C_MODULE: Final = re.compile(r"\w+(?:[.-]\w+)*", re.ASCII)
_STATUS: Final = re.compile(r"[1-9]\d\d(?: [\x20-\x7e]*)?", re.ASCII)


class _Checker:
    """The settings with their origins, and how to refuse one of them."""

    def __init__(self, settings: Settings, origins: Mapping[str, str]) -> None:
        self.settings = settings
        self._origins = origins

    def is_given(self, name: str) -> bool:
        """Return whether somebody said this value."""
        return name in self._origins

    def refuse(self, section: str, name: str, value: Value, reason: str) -> NoReturn:
        option = options(section.partition(".")[0].partition("[")[0])[name]
        origin = self._origins.get(f"{section}.{name}", "default")
        said = f"{heading(section)} {name} = {option.show(value)}"
        raise SettingsError(f"{said}: {reason} (from {origin})")


def check(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError for the first combination that cannot work."""
    checker = _Checker(settings, origins)
    _check_front(checker)
    _check_broker(checker)
    _check_endpoints(checker)
    _check_vmhost(checker)
    _check_roles(checker)
    for name, pool in settings.pool.items():
        _check_pool(checker, f"pool.{name}", pool)
    _check_roots(checker)
    _check_scripts(checker)
    _check_texts(checker)


def _check_front(checker: _Checker) -> None:
    front = checker.settings.front
    for text in front.listen:
        try:
            endpoints.parse_listener(text)
        except ValueError as error:
            checker.refuse("front", "listen", front.listen, f"{text}: {error}")
    if front.http:
        try:
            endpoints.parse_web(front.http)
        except ValueError as error:
            checker.refuse("front", "http", front.http, str(error))
    for text in front.web_server_addrs:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            reason = f"{text} is no IP address"
            checker.refuse("front", "web_server_addrs", front.web_server_addrs, reason)
    if front.max_param > front.max_params:
        reason = f"more than max_params = {front.max_params} takes in all"
        checker.refuse("front", "max_param", front.max_param, reason)
    if checker.is_given("front.queue_target") and (
        front.queue_target > front.queue_timeout
    ):
        reason = f"nobody waits longer than queue_timeout = {front.queue_timeout:g} s"
        checker.refuse("front", "queue_target", front.queue_target, reason)
    for name, path in (
        ("ping_path", front.ping_path),
        ("status_path", front.status_path),
    ):
        if path and not path.startswith("/"):
            checker.refuse(
                "front", name, path, "a path that begins with / belongs here"
            )
    if front.ping_path and front.ping_path == front.status_path:
        checker.refuse("front", "ping_path", front.ping_path, "the same as status_path")


def _check_broker(checker: _Checker) -> None:
    broker = checker.settings.broker
    # the default gives way to a small `states` by itself
    if broker.clones > broker.states and checker.is_given("broker.clones"):
        reason = f"more than states = {broker.states} allows in the whole farm"
        checker.refuse("broker", "clones", broker.clones, reason)
    if broker.min_clones > broker.clones:
        reason = f"more than clones = {broker.clones}"
        checker.refuse("broker", "min_clones", broker.min_clones, reason)
    if broker.quarantine > broker.quarantine_max:
        reason = f"longer than quarantine_max = {broker.quarantine_max:g} s"
        checker.refuse("broker", "quarantine", broker.quarantine, reason)


def _check_endpoints(checker: _Checker) -> None:
    settings = checker.settings
    for section, text, is_wild in (
        ("broker", settings.broker.endpoint, False),
        ("vmhost", settings.vmhost.endpoint, True),
    ):
        if not text:
            continue
        try:
            is_local = endpoints.is_local(text, is_wild=is_wild)
            if is_wild:
                endpoints.check_reachable(text)
        except ValueError as error:
            checker.refuse(section, "endpoint", text, str(error))
        if not is_local and not settings.security.keys:
            reason = (
                "tcp beyond loopback needs [security] keys: without them anybody who "
                "reaches the port runs the farm; make them with luafarm keygen"
            )
            checker.refuse(section, "endpoint", text, reason)


def _check_vmhost(checker: _Checker) -> None:
    vmhost = checker.settings.vmhost
    if vmhost.machine and not names.MACHINE.fullmatch(vmhost.machine):
        reason = "a name of up to 63 letters, digits, '-' and '.' belongs here"
        checker.refuse("vmhost", "machine", vmhost.machine, reason)
    if vmhost.uid_range:
        match = _UID_RANGE.fullmatch(vmhost.uid_range)
        if match is None or not 0 < int(match[1]) <= int(match[2]) < 2**32 - 1:
            reason = "FIRST-LAST belongs here, such as 61184-65519, without 0"
            checker.refuse("vmhost", "uid_range", vmhost.uid_range, reason)


def _check_roles(checker: _Checker) -> None:
    limit_s = checker.settings.roles.watchdog
    if 0.0 < limit_s < WATCHDOG_LEAST_S:
        reason = (
            f"a loop that turns says so each second: at least {WATCHDOG_LEAST_S:g} s, "
            "so that one that is late is not taken for one that hangs, or 0 for never"
        )
        checker.refuse("roles", "watchdog", limit_s, reason)


def _check_c_modules(checker: _Checker, section: str, pool: PoolSettings) -> None:
    for name in pool.c_modules:
        if not _C_MODULE.fullmatch(name):
            reason = f'"{name}" is no name of a module, such as lpeg or luasql.sqlite3'
            checker.refuse(section, "c_modules", pool.c_modules, reason)
    if pool.cpath and not pool.c_modules and pool.trust == "sandboxed":
        reason = "not in a sandboxed pool without c_modules, which name what to load"
        checker.refuse(section, "cpath", pool.cpath, reason)
    for template in filter(None, pool.cpath.split(";")):
        # in a trusted pool, as in any Lua, it is one file for all modules
        if "?" not in template and pool.trust == "sandboxed":
            reason = (
                f"{template} has no ? for the name of a module, such as in "
                f"{template.rstrip('/')}/?.so"
            )
            checker.refuse(section, "cpath", pool.cpath, reason)


def _check_pool(checker: _Checker, section: str, pool: PoolSettings) -> None:
    if pool.trust == "sandboxed":
        why = UNSOUND.get(Dialect(pool.dialect))
        if why is not None:
            reason = (
                f"not in a sandboxed pool: {why}; luajit21 runs the same language, "
                'or say trust = "trusted"'
            )
            checker.refuse(section, "dialect", pool.dialect, reason)
        if pool.jit:
            reason = f"not in a sandboxed pool: {NO_JIT}"
            checker.refuse(section, "jit", pool.jit, reason)
        if pool.writers:
            reason = "a sandboxed pool runs what is there, whoever wrote it"
            checker.refuse(section, "writers", pool.writers, reason)
    _check_c_modules(checker, section, pool)
    if pool.jit and pool.dialect != Dialect.LUAJIT21:
        reason = f"{pool.dialect} has no compiler; only luajit21 has"
        checker.refuse(section, "jit", pool.jit, reason)
    if pool.trust == "trusted" and pool.require_layers:
        reason = "a trusted pool is not confined"
        checker.refuse(section, "require_layers", pool.require_layers, reason)
    if not pool.scripts:
        reason = 'a pattern such as "*.lua" belongs here; without one nothing is run'
        checker.refuse(section, "scripts", pool.scripts, reason)
    for pattern in pool.scripts:
        if not pattern or "/" in pattern or pattern.startswith("."):
            reason = (
                f'"{pattern}" matches no script: a pattern is of file names, which do '
                "not begin with a dot"
            )
            checker.refuse(section, "scripts", pool.scripts, reason)
    if pool.host_memory < pool.memory:
        reason = f"less than memory = {pool.memory} of one state"
        checker.refuse(section, "host_memory", pool.host_memory, reason)


def _check_roots(checker: _Checker) -> None:
    seen: list[tuple[str, PurePosixPath]] = []
    for name, pool in checker.settings.pool.items():
        for text in pool.root:
            root = PurePosixPath(text)
            for other, there in seen:
                overlap = root.is_relative_to(there) or there.is_relative_to(root)
                if other != name and overlap:
                    reason = (
                        f"{root} overlaps {there} of [pool.{other}]; a script belongs "
                        "to one pool"
                    )
                    checker.refuse(f"pool.{name}", "root", pool.root, reason)
            seen.append((name, root))


def _check_scripts(checker: _Checker) -> None:
    broker = checker.settings.broker
    for number, script in enumerate(checker.settings.script):
        section = f"script[{number}]"
        if not script.pattern:
            reason = 'a pattern such as "admin/*.lua" belongs here'
            checker.refuse(section, "pattern", script.pattern, reason)
        clones = broker.clones if script.clones is None else script.clones
        if script.clones is not None and clones > broker.states:
            reason = f"more than [broker] states = {broker.states}"
            checker.refuse(section, "clones", script.clones, reason)
        if script.min_clones is not None and script.min_clones > clones:
            reason = f"more than clones = {clones}"
            checker.refuse(section, "min_clones", script.min_clones, reason)


def _check_texts(checker: _Checker) -> None:
    compat = checker.settings.compat
    if not compat.handler.isidentifier():
        checker.refuse("compat", "handler", compat.handler, "no name of a function")
    if not _STATUS.fullmatch(compat.httpstatus):
        reason = 'a status such as "200 OK" belongs here'
        checker.refuse("compat", "httpstatus", compat.httpstatus, reason)
    if not compat.contenttype.isprintable():
        reason = "control characters do not belong here"
        checker.refuse("compat", "contenttype", compat.contenttype, reason)
    for line in compat.headers.replace("\r\n", "\n").removesuffix("\n").split("\n"):
        name, colon, value = line.partition(":")
        is_header = bool(name) and bool(colon) and name.isascii() and " " not in name
        if line and not (is_header and (name + value).isprintable()):
            reason = "lines of the form Name: value belong here"
            checker.refuse("compat", "headers", compat.headers, reason)
    security = checker.settings.security
    if security.group and not security.user:
        reason = "a group is only changed to together with a user"
        checker.refuse("security", "group", security.group, reason)
