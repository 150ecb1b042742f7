"""Checkpoints of the runs of an agent: those that handlers save, and those that the agent takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from ._core import Answer, segment
from ._hosts import NoCheckpoint
from ._plane import DATA, RETRY_MAX, RETRY_MIN, Unanswered, decoded, key_refused, pause, session_over
from ._run import RUNNING, STOP_GRACE, Run
from .errors import ApiError, NotFound
from .stops import Fenced, LeaseLost, Stopped

if TYPE_CHECKING:
    from ._agent import Agent

log = logging.getLogger("niyanta.worker")
T = TypeVar("T")

# How often a state is taken because the handler saves one of its own meanwhile.
TAKE_TRIES = 3
SEQUENCE_HEADER = "niyanta-checkpoint-sequence"


class _Overtaken(Exception):
    """The handler began to save after the state was taken. What it saves may be newer, so the state
    must not be saved after it."""


class Checkpoints:
    """Saves and restores. Only the control loop uses it."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def _path(self, run: Run, sequence: int, more: str = "") -> str:
        return (
            f"/v1/worker/workloads/{segment(run.key[0])}/checkpoints/{sequence}"
            f"?worker_id={quote(self._agent.config.worker_id, safe='')}&session_id={run.session.id}"
            f"&generation={run.key[1]}{more}"
        )

    async def restore(self, run: Run) -> bytes | None:
        """Loads the checkpoint to continue from; None: none is left."""
        delay = RETRY_MIN
        while run.cause is None and self._agent.live_session() is run.session:
            try:
                call = self._agent.plane.call("GET", self._path(run, run.sequence), line=DATA)
                answer = await unless(run.aborted, call)
                if answer is not None and not answer.headers.get(SEQUENCE_HEADER, "").isdecimal():
                    raise Unanswered("the answer does not name the checkpoint")
                return None if answer is None else answer.body
            except NotFound:
                log.warning("no checkpoint of %s is left: it begins anew", run.key[0])
                return None
            except (ApiError, Unanswered) as e:
                if isinstance(e, ApiError) and e.code == "FENCED":
                    self._agent.runs.abandon(run, Fenced())
                    continue
                if isinstance(e, ApiError) and not key_refused(e):
                    raise
                (log.warning if delay == RETRY_MIN else log.debug)("a checkpoint is not loaded yet: %s", e)
                await unless(run.aborted, pause(delay))
                delay = min(2 * delay, RETRY_MAX)
        return None

    async def save(self, run: Run, data: bytes, percent: float | None, message: str) -> Stopped | None:
        """Stores a checkpoint of the handler. It is durable when this returns None, or a cause that
        `saves`."""
        run.begun += 1
        reported = run.reported
        async with run.saving:
            return await self._save(run, data, percent, message, reported)

    async def _save_taken(self, run: Run, data: bytes, begun: int) -> Stopped | None:
        """Stores a state that was taken when run.begun was begun. It carries the progress that the run
        has told so far: a save of the handler that was under way may have told it just now.

        A cancellation ends the wait, but no save that has begun: until its outcome is known, nothing else
        may be saved under its sequence."""
        await run.saving.acquire()
        if run.begun != begun:
            run.saving.release()
            raise _Overtaken

        async def body() -> Stopped | None:
            try:
                return await self._save(run, data, run.percent, run.message, run.reported)
            finally:
                run.saving.release()

        return await asyncio.shield(self._agent.beside(body()))

    async def _save(
        self, run: Run, data: bytes, percent: float | None, message: str, reported: int
    ) -> Stopped | None:
        """Stores a checkpoint. While its outcome is unknown, the same bytes are sent again under the same
        sequence. run.saving is held; reported is that of the run when its progress was told.

        What is refused in the end may have been stored by a try that was not answered. Then the next
        state finds other bytes under its sequence, and is saved under the one after that."""
        more = "" if percent is None else f"&progress_percent={percent!r}"
        more += f"&progress_message={_quoted(message)}" if message else ""
        delay, earlier, passed = RETRY_MIN, run.unsettled, False
        while True:
            if (stop := self._may_not_save(run)) is not None:
                return stop
            # Coordinators refuse checkpoints of a run that has not started.
            await unless(run.aborted, run.acknowledged.wait())
            if (stop := self._may_not_save(run)) is not None:
                return stop
            path = self._path(run, run.sequence + 1, more)
            run.unsettled = True
            try:
                answer = await unless(run.aborted, self._agent.plane.call("PUT", path, line=DATA, body=data))
                a = {} if answer is None else _outcome(answer)
            except (ApiError, Unanswered) as e:
                if isinstance(e, ApiError) and session_over(e):
                    return self._agent.runs.fenced(run, "")
                if isinstance(e, ApiError) and not key_refused(e):
                    raise
                (log.warning if delay == RETRY_MIN else log.debug)("a checkpoint is not saved yet: %s", e)
                await unless(run.aborted, pause(delay))
                delay = min(2 * delay, RETRY_MAX)
                continue
            if answer is None:
                continue  # the time to save is over
            # Coordinators that do not compare the bytes answer with already.
            if earlier and a.get("outcome") in ("already", "illegal"):
                run.sequence, earlier, passed = run.sequence + 1, False, True
                continue
            if a.get("outcome") in ("applied", "already"):
                run.sequence, run.unsettled = run.sequence + 1, False
                _saved(run, percent, reported)
                return run.cause
            if a.get("outcome") == "illegal":
                run.sequence -= passed  # so nothing was stored
                raise ApiError(f"checkpoint {run.sequence + 1} is not possible: {a}", code="INVALID_STATE")
            return self._agent.runs.fenced(run, a.get("status", ""))

    def _may_not_save(self, run: Run) -> Stopped | None:
        if self._agent.live_session() is not run.session:
            return run.cause or LeaseLost()
        if run.abandoned or run.aborted.is_set() or run.cause is not None and run.grace_left() <= 0:
            return run.cause or Fenced()
        return None

    def take_beside(self, run: Run) -> None:
        """Begins `take`, unless one is under way."""
        if run.pulling:
            return
        run.pulling = True

        async def take() -> None:
            try:
                await self.take(run)
            finally:
                run.pulling = False
            if run.pull_again:
                run.pull_again = False
                self.take_beside(run)

        self._agent.spawn(take())

    async def take(self, run: Run) -> bool | None:
        """Asks the handler for a checkpoint and saves it. Returns whether it is durable; None: there
        is nothing to save, or the handler has kept saving newer ones. If it fails, the last durable
        checkpoint stands."""
        try:
            async with asyncio.timeout(STOP_GRACE):
                for _ in range(TAKE_TRIES):
                    if run.abandoned or run.state != RUNNING:
                        break
                    begun = run.begun
                    data = await run.host.snapshot()
                    try:
                        stop = await self._save_taken(run, data, begun)
                    except _Overtaken:
                        continue
                    return stop is None or stop.saves
            return None
        except NoCheckpoint:
            return None
        except Exception as e:
            if not run.abandoned:
                log.warning("a checkpoint of %s failed: %r", run.key[0], e)
            return False


def _outcome(answer: Answer) -> dict[str, Any]:
    """Returns the answer to a save."""
    a = decoded(answer)
    if not isinstance(a.get("outcome"), str) or not a["outcome"]:
        raise Unanswered("the answer has no outcome")
    return a


def _saved(run: Run, percent: float | None, reported: int) -> None:
    run.resumable = True
    if percent is not None and run.reported == reported:
        run.percent, run.progress = percent, None  # what waits is older
    run.pulled_at = max(run.pulled_at, run.percent)


async def unless(event: asyncio.Event, f: Coroutine[Any, Any, T]) -> T | None:
    """Returns what f returns, or None when the event comes first. Then f is cancelled."""
    work, wait = asyncio.ensure_future(f), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((work, wait), return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        for task in (work, wait):
            task.cancel()


def _quoted(text: str) -> str:
    return quote(text[:1000], safe="", errors="replace")
