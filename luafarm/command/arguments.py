"""The command line of `luafarm`: commands, options and their help."""

# Impure.

import argparse
import sys
from pathlib import Path
from typing import Final, NoReturn

from luafarm import output, version
from luafarm.config import configure

DONE: Final = 0
FAILED: Final = 1
WRONG: Final = 2
"""Exit codes: wrong usage or configuration is not the same as failed."""

ROLES: Final = {
    "broker": "decide which Lua state lives where; one for each farm",
    "vmhost": "run Lua: the supervisor and VM hosts of this machine",
    "fcgi": "serve FastCGI, and HTTP if wanted: the fronts of this machine",
}

_STATUS_TIMEOUT_S: Final = 2.0
_RELOAD_TIMEOUT_S: Final = 30.0
_LONGEST_TIMEOUT_S: Final = 86_400


class _Parser(argparse.ArgumentParser):
    """Ends wrong usage with one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message}; see {self.prog} --help\n")

    def _print_message(self, message: str, file: object = None) -> None:
        # argparse keeps to itself that nothing could be printed
        if file is sys.stdout:
            output.put(message)
        else:
            output.say(message.rstrip("\n"))


_Commands = argparse._SubParsersAction


def parser() -> argparse.ArgumentParser:
    """Return the parser of everything."""
    result = _Parser(
        prog="luafarm",
        description="Sandboxed Lua for web servers: a FastCGI front and a farm of VM "
        "processes.",
        epilog="luafarm COMMAND --help tells more. Exit codes: 0 done, 1 failed, "
        "2 wrong usage or configuration.",
    )
    result.add_argument("--version", action="version", version=version.describe())
    commands = result.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    _add_up(commands)
    for role, text in ROLES.items():
        command = _add(commands, role, text)
        if role == "fcgi":
            _add_fronts(command)
    _add_status(commands)
    _add_reload(commands)
    _add_run(commands)
    check = _add(commands, "check", "load a script as the farm would; report errors")
    check.add_argument("script", metavar="SCRIPT", type=Path)
    _add(commands, "config", "print every setting and where it came from")
    keygen = commands.add_parser(
        "keygen",
        help="make the keys for tcp:// endpoints",
        description="Make a key pair for each role in DIR, for [security] keys. A "
        "machine needs the secret keys of the roles that run on it, and all public "
        "ones. With NAMEs: a pair for each of those, which are keys of one machine.",
    )
    keygen.add_argument("directory", metavar="DIR", type=Path)
    keygen.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        default=[],  # argparse calls it required otherwise
        help="ROLE-MACHINE, such as vmhost-node2, fcgi-web2 or command-node2",
    )
    return result


def _add(commands: "_Commands[_Parser]", name: str, text: str) -> _Parser:
    about = text[0].upper() + text[1:] + "."
    command = commands.add_parser(name, help=text, description=about)
    configure.add_arguments(command)
    return command


def _add_up(commands: "_Commands[_Parser]") -> None:
    command = _add(commands, "up", "serve a directory: the whole farm in one terminal")
    command.add_argument(
        "root",
        metavar="ROOT",
        nargs="?",
        type=Path,
        help="directory of scripts (default: that of the configured pool, else the "
        "current directory)",
    )
    command.add_argument(
        "--listen",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="FastCGI listener, unix:PATH or HOST:PORT; may be repeated (default: "
        "127.0.0.1:9000, unless --http or the configuration says otherwise)",
    )
    command.add_argument(
        "--http",
        metavar="HOST:PORT",
        help="HTTP listener, to try scripts without a web server",
    )
    command.add_argument(
        "--hosts", metavar="N", type=_count, help="VM hosts of each pool"
    )
    _add_fronts(command)


def _add_fronts(command: _Parser) -> None:
    command.add_argument(
        "--fronts",
        metavar="N",
        type=_count,
        help="processes that share the listeners (default: by the number of "
        "processors)",
    )
    command.add_argument(
        "--listen-group",
        metavar="GROUP",
        help="group that may connect to unix: listeners, that of the web server "
        "(default: as root www-data, nginx, http or apache, whichever there is)",
    )


def _add_status(commands: "_Commands[_Parser]") -> None:
    command = _add(commands, "status", "show hosts, scripts, requests and memory")
    command.add_argument("--json", action="store_true", help="for programs")
    parts = command.add_mutually_exclusive_group()
    parts.add_argument("--scripts", action="store_true", help="only the scripts")
    parts.add_argument("--hosts", action="store_true", help="only the VM hosts")
    _add_timeout(command, _STATUS_TIMEOUT_S)


def _add_reload(commands: "_Commands[_Parser]") -> None:
    command = _add(commands, "reload", "compare loaded scripts with their files now")
    command.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        type=Path,
        help="script, module or directory (default: everything)",
    )
    command.add_argument(
        "--wait",
        action="store_true",
        help="return when no request is served by an old generation any more",
    )
    _add_timeout(command, _RELOAD_TIMEOUT_S)


def _add_run(commands: "_Commands[_Parser]") -> None:
    command = _add(commands, "run", "serve one request without a server; print it")
    command.add_argument("script", metavar="SCRIPT", type=Path)
    command.add_argument("--method", metavar="METHOD", help="default: GET, or POST")
    command.add_argument("--path", metavar="PATH", default="", help="PATH_INFO")
    command.add_argument("--query", metavar="TEXT", default="", help="QUERY_STRING")
    command.add_argument(
        "--data",
        metavar="TEXT",
        help="request body; @FILE: what is in the file; -: standard input",
    )
    command.add_argument(
        "--header",
        type=_header,
        metavar="NAME: VALUE",
        action="append",
        default=[],
        help="request header; may be repeated",
    )


def _add_timeout(command: _Parser, default_s: float) -> None:
    command.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=default_s,
        help=f"how long to wait for the broker (default: {default_s:g})",
    )


def _header(text: str) -> str:
    name, colon, _ = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{text}: write NAME: VALUE")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 < seconds <= _LONGEST_TIMEOUT_S:
        raise argparse.ArgumentTypeError(
            f"{text}: seconds belong here, more than 0 and at most {_LONGEST_TIMEOUT_S}"
        )
    return seconds


def _count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text}: a number of at least 1 belongs here")
    return int(text)
