"""The uids of a supervisor's VM hosts, which no others are to have meanwhile.

Supervisors that live side by side know of each other's by their parent, to which each
says what it takes. What is said is `FIRST:LAST,FIRST:LAST`.
"""

import zlib
from collections.abc import Sequence
from typing import Final

from luafarm.config.settings import Settings
from luafarm.errors import SettingsError

DEFAULT: Final = range(61184, 65520)  # systemd's range for dynamic users


def choose(
    settings: Settings, seats: int, run: bytes, taken: Sequence[range] = ()
) -> tuple[int, ...]:
    """Return a uid for each seat of a supervisor that may give hosts their own.

    run: the run directory. Farms of one machine that say nothing begin at different
    places of the default range, so that they hardly ever share a uid. taken: by other
    supervisors of this farm; these are shared only where there are no others left.
    Raise SettingsError when there are fewer uids than seats.
    """
    text = settings.vmhost.uid_range
    first, _, last = text.partition("-")
    found = range(int(first), int(last) + 1) if text else DEFAULT
    if len(found) < seats:
        raise SettingsError(
            f'[vmhost] uid_range = "{text}": {len(found)} uids for {seats} VM hosts'
        )
    begin = 0 if text else zlib.crc32(run) % len(found)
    wanted = [*found[begin:], *found[:begin]]
    wanted.sort(key=lambda uid: any(uid in others for others in taken))
    return tuple(wanted[:seats])


def told(uids: Sequence[int]) -> str:
    """Return what is said of these uids."""
    ranges: list[range] = []
    for uid in sorted(uids):
        if ranges and ranges[-1].stop == uid:
            ranges[-1] = range(ranges[-1].start, uid + 1)
        else:
            ranges.append(range(uid, uid + 1))
    return ",".join([f"{found[0]}:{found[-1]}" for found in ranges])


def parse(text: str) -> tuple[range, ...]:
    """Return the uids of which this was said. Raise ValueError when it is none."""
    ranges: list[range] = []
    for part in filter(None, text.split(",")):
        first, last = part.split(":")
        ranges.append(range(int(first), int(last) + 1))
    return tuple(ranges)
