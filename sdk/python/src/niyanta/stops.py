"""Why a run has to stop.

These exceptions are kinds of asyncio.CancelledError: task groups end their tasks as they do for a
cancellation, and `except Exception` does not swallow them. A handler lets them pass, or cleans up
and raises them again. A task group wraps what passes it: use `except*` around one.
"""

from __future__ import annotations

import asyncio

__all__ = ["Cancelled", "Draining", "Fenced", "LeaseLost", "Paused", "Preempted", "Stopped", "Timeout"]


class Stopped(asyncio.CancelledError):
    """The run has to stop. Subclasses say why."""

    #: A checkpoint may still be saved, for 10 seconds in all.
    saves = False

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or (type(self).__doc__ or "").split(".")[0])

    def again(self) -> Stopped:
        """Returns a new exception that says the same."""
        return type(self)(str(self))


class Cancelled(Stopped):
    """A client cancelled the workload."""


class Paused(Stopped):
    """A client paused the workload. It continues from its last checkpoint when it is resumed."""

    saves = True


class Draining(Stopped):
    """The worker shuts down. Another one continues from the last checkpoint."""

    saves = True


class Preempted(Stopped):
    """A workload of a higher tier needs the place. This one continues later."""

    saves = True


class LeaseLost(Stopped):
    """The worker lost contact with its coordinators and may no longer act."""


class Fenced(Stopped):
    """The workload runs elsewhere, at a newer generation."""


class Timeout(Stopped):
    """The run took longer than its timeout."""


BY_NAME: dict[str, type[Stopped]] = {
    c.__name__: c for c in (Cancelled, Paused, Draining, Preempted, LeaseLost, Fenced, Timeout, Stopped)
}
