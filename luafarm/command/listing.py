"""The commands that need no farm: `luafarm config` and `luafarm keygen`."""

# Impure.

import argparse

from luafarm import output
from luafarm.command import manual
from luafarm.command.arguments import DONE
from luafarm.config import configure
from luafarm.keys import curve
from luafarm.process import access


def run(arguments: argparse.Namespace) -> int:
    """Print or make what is wanted; return the exit code. Raise SettingsError."""
    if arguments.command == "config":
        return _config(arguments)
    for path in curve.keygen(arguments.directory, arguments.names):
        output.put(f"{path}\n")
    return DONE


def _config(arguments: argparse.Namespace) -> int:
    configuration = configure.load(arguments.config, arguments.sets)
    configure.tell(configuration)
    file = configuration.file or "none"
    lines = [f"# configuration file: {file}"]
    group = access.group(configuration.settings.front)
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
