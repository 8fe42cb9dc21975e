"""A reload: wanted, tried, gone on with, and over. What became of it is said.

HUP wants one. The program and the settings are tried as they are when no role is being
replaced and every child that has ended is reaped. If they could serve, the process
executes itself again (`luafarm.command.inheritance`); the new program goes on here,
until each role has been replaced or one of them could not be.
"""

# Impure.

import logging
from collections.abc import Callable, Sequence

from luafarm.command import inheritance
from luafarm.command.inheritance import Inheritance
from luafarm.command.trial import Trial
from luafarm.process.pulse import Pulse
from luafarm.version import VERSION

logger = logging.getLogger("luafarm.up")

_SERVING = "serving"


class Reload:
    """The reload of a parent's roles, as far as it has come."""

    def __init__(self, pulse: Pulse, left: Inheritance | None, refused: str) -> None:
        """left: there is one under way. refused: why it is over already."""
        self._pulse = pulse
        self._trial: Trial | None = None
        self._is_wanted = False
        self._is_told = left is not None  # the manager knows that there is one
        self._status = _SERVING
        #: roles are being replaced, or are to be
        self.is_renewal = left is not None and not refused
        if refused:
            self._refuse(refused)

    def want(self) -> None:
        """Have what is there now tried, as soon as that is possible."""
        self._end_trial()  # what it has read may be old
        self._is_wanted = True
        if not self._is_told:
            self._is_told = True
            self._pulse.reloads()

    def go_on(
        self,
        now: float,
        leave: Callable[[], Inheritance],
        is_undisturbed: Callable[[], bool],
    ) -> None:
        """Do the next step; to be called when no role is being replaced.

        leave: gives what goes on. is_undisturbed: no signal has come.
        """
        if self._is_wanted:
            self._is_wanted = False
            logger.info("HUP: trying whether it could serve with what is there now")
            try:
                self._trial = Trial(leave())
            except OSError as error:
                self._refuse(f"it cannot be tried: {error.filename}: {error.strerror}")
        verdict = None if self._trial is None else self._trial.verdict(now)
        if verdict is None:
            return
        self._trial = None
        if verdict:
            self._refuse(verdict)
            return
        logger.info("HUP: going on with it; roles are replaced one after the other")
        more = self._pulse.environment()
        try:
            inheritance.leave_to_itself(leave(), more, is_undisturbed)
        except OSError as error:
            self._refuse(f"it cannot be executed: {error.filename}: {error.strerror}")
        else:
            self._is_wanted = True  # the signal is looked at first

    def settle(self, unrenewed: Sequence[str]) -> None:
        """Say what became of it, once nothing is under way any more.

        unrenewed: roles that could not be replaced.
        """
        if not self._is_told or self._is_wanted or self._trial is not None:
            return
        if self.is_renewal and unrenewed:
            old = ", ".join(unrenewed)
            text = f"HUP: given up: {old} could not be replaced, and goes on as it was"
            logger.error("%s; mend it, and HUP again", text)
            self._status = f"{_SERVING}; {text}"
        elif self.is_renewal:
            logger.info("HUP: every role has been replaced by luafarm %s", VERSION)
        self.is_renewal = self._is_told = False
        self._pulse.serves(self._status)
        self._status = _SERVING

    def close(self) -> None:
        """Try nothing more."""
        self._is_wanted = False
        self._end_trial()

    def _end_trial(self) -> None:
        if self._trial is not None:
            self._trial.close()
            self._trial = None

    def _refuse(self, why: str) -> None:
        logger.error("HUP: nothing is changed: %s", why)
        self._status = f"{_SERVING}; HUP has changed nothing: {why}"
