"""The commands that ask the broker: `luafarm status` and `luafarm reload`."""

# Impure.

import argparse
import os
import shutil

from luafarm import output
from luafarm.command import asking, report
from luafarm.command.arguments import DONE, FAILED
from luafarm.config import configure
from luafarm.config.configure import Configuration
from luafarm.config.settings import Settings
from luafarm.errors import SettingsError


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print the answer; return the exit code. Raise NoAnswerError."""
    ask = _status if arguments.command == "status" else _reload
    configuration = _configuration(arguments)
    try:
        return ask(arguments, configuration.settings)
    except SettingsError as error:
        raise configure.explained(error, configuration) from None


def _status(arguments: argparse.Namespace, settings: Settings) -> int:
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


def _reload(arguments: argparse.Namespace, settings: Settings) -> int:
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


def _configuration(arguments: argparse.Namespace) -> Configuration:
    configuration = configure.load(arguments.config, arguments.sets)
    configure.tell(configuration)
    return configuration
