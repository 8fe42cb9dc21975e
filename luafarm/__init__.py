"""What every luafarm process shares: names, messages, settings, errors, CLI."""

import os

from luafarm import again

if again.VARIABLE in os.environ:
    again.watch()
