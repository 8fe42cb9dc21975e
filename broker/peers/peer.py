"""One VM host as far as the broker speaks with it, and what it may cost."""

# Impure.

from typing import TYPE_CHECKING, Final

import zmq

from broker.peers.zmqlink import KeyLink
from broker.peers.zmtplink import ZmtpLink
from luafarm.allowance import Allowance
from luafarm.wire.messages import HostUp

if TYPE_CHECKING:
    from luafarm.names import Script

NEEDS: Final = 2000  # files that a host may ask for at once
NEEDS_PER_S: Final = 500.0
"""And then in each second: each costs the broker some file system calls."""

_TIME_AT_ONCE_S: Final = 0.25  # processor time that one host may cost the broker
_TIME_SHARE: Final = 0.1  # and then of every second: then it is not heard for a while

Handle = zmq.Socket[bytes] | int
"""What a poller takes."""

HostLink = KeyLink | ZmtpLink
"""A connection to a VM host, with keys or over TCP, and without."""


class Peer:
    """One VM host as far as it is spoken to."""

    def __init__(self, up: HostUp, link: HostLink, *, is_fresh: bool) -> None:
        self.up = up
        self.link = link
        #: holds nothing that this broker has not ordered
        self.is_fresh = is_fresh
        #: what is polled for it; None: nothing
        self.handle: Handle | None = None
        #: answered the last greeting
        self.is_welcome = False
        self.greeted_at = 0.0
        self.greetings = 0  # that it may answer
        #: when it was asked for the inventory that it owes; None: it owes none
        self.asked_at: float | None = None
        #: how often it may have the broker look for files
        self.needs = Allowance(NEEDS, NEEDS_PER_S)
        self.questions = 0  # that are not answered yet
        #: a script of which a question was answered that it cannot be told just now
        self.unread: Script | None = None
        self.resting_bytes = 0  # of its messages that wait until files rest
        self.unread_bytes = 0  # bytes of answers sent since it had read everything
        #: the broker's processor time that it may cost
        self.time = Allowance(_TIME_AT_ONCE_S, _TIME_SHARE)
        self.lost_at = 0.0  # its connection ended then; 0: not
        self.is_cut = False  # it was, by us
