"""What every luafarm process shares: names, messages, settings, errors, CLI."""

import importlib
import os

if "LUAFARM_INHERITANCE" in os.environ:  # by name: nobody else needs that module
    importlib.import_module("luafarm.again").watch()
