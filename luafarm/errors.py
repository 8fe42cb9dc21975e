"""The errors that luafarm's processes share. Whose fault it is decides the kind."""


class ProtocolError(Exception):
    """A peer broke a protocol: its connection ends, nothing else does."""


class SettingsError(Exception):
    """The configuration is wrong: one clear line, exit code 2.

    place: the setting that the line begins with, such as "security.keys", where it is
    not said yet where that came from; else empty.
    """

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        self.place = place


class NoAnswerError(Exception):
    """The broker did not answer in time, or not in our protocol."""


class ListenError(SettingsError):
    """A listener cannot be had as the settings want it.

    setting: the one of [front] that is wrong, of which `value` is a part or all.
    """

    def __init__(self, setting: str, value: str, reason: str) -> None:
        super().__init__(f'[front] {setting} = "{value}": {reason}')
        self.setting = setting
        self.value = value
        self.reason = reason
