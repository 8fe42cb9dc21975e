"""The errors that luafarm's processes share. Whose fault it is decides the kind."""


class ProtocolError(Exception):
    """A peer broke a protocol: its connection ends, nothing else does."""


class SettingsError(Exception):
    """The configuration is wrong: one clear line, exit code 2."""
