"""The broker as a front knows it: whether it is there, and what it has to answer."""

# Impure.

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from fcgi.hosts.absence import LATE_S, Absence
from fcgi.hosts.context import Context
from luafarm.errors import ProtocolError
from luafarm.wire import codec
from luafarm.wire.messages import PROTOCOL, Message, Miss, Place, Refused, Welcome

logger = logging.getLogger("luafarm.front")

ASK_S: Final = 0.2  # until a question to a broker that may not be there is repeated
_LAST_WORDS_MS: Final = 200  # for what is said last to reach the broker


class Broker:
    """The connection to the broker."""

    def __init__(
        self, context: Context, endpoint: str, on_news: Callable[[Message], None]
    ) -> None:
        """Connect. on_news: is told what a broker says; its Welcome comes first."""
        keys = context.keys
        self._context = context
        self._on_news = on_news
        self._asked: dict[bytes, asyncio.Future[Place]] = {}  # `ask` waits for these
        self.term = 0  # of the broker in contact; 0: none
        self._absence = Absence()
        self._link = context.connect(
            endpoint,
            keys.broker if keys and endpoint.startswith("tcp://") else b"",
            "the broker",
            self._hear,
            self._greet,
            self._lost,
        )

    def say(self, message: Message) -> None:
        """Say something, if a broker is there."""
        self._link.send(codec.encode(message))

    async def ask(self, path: bytes) -> Place:
        """Return what the broker says of a path, loading the script there."""
        answer: asyncio.Future[Place] = self._context.loop.create_future()
        self._asked[path] = answer
        while not answer.done():
            self.say(Miss(path, ()))
            await asyncio.wait({answer}, timeout=ASK_S)
        return answer.result()

    def tick(self, now: float) -> None:
        """Tell the log of a broker that does not come back."""
        if self._absence.is_late(now):
            logger.warning(
                "no broker for %g s; warm scripts go on being served, others wait",
                LATE_S,
            )

    def close(self) -> None:
        """Close the connection; what was said last is on its way."""
        self._link.close(_LAST_WORDS_MS)

    def _greet(self) -> None:
        self._link.send(self._context.hello)

    def _lost(self, _why: str) -> None:
        if self.term:
            logger.info("broker gone; warm scripts go on being served")
            self._absence.begins(time.monotonic())
        self.term = 0

    def _hear(self, frame: bytes) -> None:
        try:
            message = codec.decode(frame)
        except ProtocolError as error:
            logger.error("broker: %s", error)  # noqa: TRY400 - its text is the story
            return
        match message:
            case Refused(reason):
                self._context.refused("the broker", reason)
                return
            case Welcome(protocol, _, name, term):
                if protocol != PROTOCOL:
                    logger.error(
                        "broker %s speaks protocol %d; this front speaks %d",
                        name,
                        protocol,
                        PROTOCOL,
                    )
                    return
                logger.info("broker found term=%d", term)
                self.term = term
                self._absence.ends()
            case Place():
                answer = self._asked.pop(message.asked, None)
                if answer is not None and not answer.done():
                    answer.set_result(message)
            case _:
                pass
        self._on_news(message)
