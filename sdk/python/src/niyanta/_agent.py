"""The state of a worker: its session and its runs.

All of it lives in one event loop, the control loop, which has a thread of its own: a handler that
computes without a pause neither delays heartbeats nor reports. Methods that other threads call say
so.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import platform
import random
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from . import _codec
from ._handlers import Ended, Handler
from ._hosts import Host, NoCheckpoint
from ._outbox import Outbox, now_text
from ._plane import DATA, Plane, Unanswered, decoded, session_over
from ._run import (
    REPORTING, RUNNING, STARTING, STOP_GRACE, STOPPING, Assignment, Key, Line, Run, Session, clock,
)
from .errors import ApiError, NotFound
from .stops import Cancelled, Draining, Fenced, LeaseLost, Paused, Preempted, Stopped, Timeout

log = logging.getLogger("niyanta.worker")
T = TypeVar("T")

# The first and the longest pause between tries of what was not answered.
RETRY_MIN, RETRY_MAX = 0.05, 2.0
# How many runs that ended are remembered, so that a late assignment does not start one again.
ENDED_LIMIT = 20_000
# The progress in percent after which a checkpoint is taken.
PULL_STEP = 10
# How long a workload that made room stays back.
PREEMPTION_DELAY_MS = 5000


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a worker is."""

    worker_id: str
    slots: int
    handlers: dict[str, Handler]
    host: Callable[[Agent, Handler], Host]
    tags: dict[str, str] = field(default_factory=dict)
    version: str = ""
    take_over: bool = False
    process_id: str = field(default_factory=lambda: f"proc_{uuid.uuid4().hex}")
    certificate_digest: str = ""


class Agent:
    """Keeps a session and runs what is assigned to it."""

    def __init__(self, config: Config, plane: Plane, loop: asyncio.AbstractEventLoop) -> None:
        self.config, self.plane, self.loop = config, plane, loop
        self.session: Session | None = None
        self.draining = self.leaving = False
        self.runs: dict[Key, Run] = {}
        self.wake, self.wake_lines, self.urgent = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.outbox = Outbox(self)
        #: Called when a session begins, is renewed or ends: with when it must have ended, or 0.
        self.on_lease: Callable[[float], None] = lambda fence_at: None
        self._previous = ""
        self._ended: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._beside: set[asyncio.Task[Any]] = set()

    def call(self, f: Callable[..., Any], *args: Any) -> None:
        """Calls f in the control loop. May be called in any thread."""
        try:
            self.loop.call_soon_threadsafe(f, *args)
        except RuntimeError:
            pass  # the worker has ended

    def spawn(self, f: Coroutine[Any, Any, None]) -> None:
        self._beside.add(task := self.loop.create_task(f))
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._beside.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the worker itself failed", exc_info=error)

    async def close(self) -> None:
        """Lets go of everything. The worker has ended."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    # The session.

    def ref(self, session: Session) -> dict[str, str]:
        return {"worker_id": self.config.worker_id, "session_id": session.id}

    def live_session(self) -> Session | None:
        """Returns the session, if the worker may act. It comes before every effect outside of the
        process, so that a process that wakes up after a freeze first stops its runs."""
        s = self.session
        if s is not None and not s.holds():
            self.end_session(s, "no heartbeat was answered within the lease")
        return None if s is None or s.over else s

    async def register(self) -> None:
        """Begins a session. Raises an ApiError or Unanswered."""
        sent, c = clock(), self.config
        session_id = f"sess_{uuid.uuid4().hex}"
        message = {
            "worker_id": c.worker_id, "session_id": session_id, "previous_session_id": self._previous,
            "process_id": c.process_id, "certificate_digest": c.certificate_digest,
            "capabilities": sorted(c.handlers), "slots": c.slots, "tags": c.tags,
            "version": c.version or f"python {platform.python_version()}",
            "take_over": c.take_over and not self._previous, "draining": self.draining,
        }
        answer = decoded(await self.plane.post("/v1/worker/register", {k: v for k, v in message.items() if v}))
        lease = answer["lease_ms"] / 1000
        self.session = Session(session_id, lease, answer["heartbeat_interval_ms"] / 1000, sent)
        self._previous, self.plane.lease = session_id, lease
        self.on_lease(self.session.fence_at)
        log.info("registered as %s, session %s, lease %g s", c.worker_id, session_id, lease)
        if self.runs:  # of earlier sessions: the coordinator must not fill their slots
            self.urgent.set()

    async def beat(self, session: Session) -> None:
        """Sends one heartbeat and obeys the commands in the answer."""
        session.number += 1
        told = [r for r in self.runs.values() if r.stuck and not r.stuck_told]
        message = {
            **self.ref(session), "number": session.number, "draining": self.leaving,
            "drained": self.draining and not self.leaving, "free_slots": max(self.config.slots - self.active(), 0),
            "inventory": [
                {"workload_id": r.key[0], "generation": r.key[1], "state": r.state,
                 **({"stuck": True} if r in told else {})}
                for r in self.runs.values()
            ],
        }
        sent = clock()
        try:
            answer = await self.plane.heartbeat(message)
        except ApiError as e:
            if session_over(e):
                self.end_session(session, str(e))
            raise
        for r in told:
            r.stuck_told = True
        if not session.over and sent > session.answered:
            session.answered, session.lease = sent, answer["lease_ms"] / 1000
            self.plane.lease = session.lease
            self.on_lease(session.fence_at)
        for command in answer.get("commands") or ():
            self.obey(command)

    def end_session(self, session: Session, why: str) -> None:
        """Stops every run and drops its reports."""
        if session.over:
            return
        session.over = True
        if session is not self.session:
            return
        self.on_lease(0)
        log.warning("session %s is over, %d runs stop: %s", session.id, len(self.runs), why)
        self.outbox.clear()
        for run in list(self.runs.values()):
            self.abandon(run, LeaseLost())

    async def deregister(self) -> None:
        """Ends the session. Nothing of it may run any more."""
        if (session := self.live_session()) is not None:
            await self.plane.post("/v1/worker/end", self.ref(session))
            session.over = True
            log.info("left")

    def active(self) -> int:
        """Returns how many runs take a slot."""
        return sum(r.state != REPORTING for r in self.runs.values())

    def idle(self) -> bool:
        """Reports whether nothing runs and everything is reported and answered."""
        return not self.runs and not self.outbox

    # Commands. They are hints: for another session, or a generation that is not held, they are ignored.

    def obey(self, c: dict[str, Any]) -> None:
        session = self.live_session()
        if session is None or c.get("session_id") != session.id:
            return
        kind = c.get("kind")
        if kind == "workload.assign":
            if c.get("assignment"):
                self._assign(session, _codec.decode(Assignment, c["assignment"], "assignment"))
        elif kind == "worker.drain":
            self.drain()
        elif kind == "worker.undrain":
            self.draining = self.leaving
        elif (run := self.runs.get((c.get("workload_id", ""), c.get("generation", 0)))) is not None:
            self._command(run, str(kind), c.get("reason") or "")

    def _command(self, run: Run, kind: str, reason: str) -> None:
        match kind:
            case "workload.cancel":
                self.abandon(run, Cancelled(reason))
            case "workload.drop":
                self.abandon(run, Fenced(reason))
            case "workload.pause":
                self.halt(run, Paused(reason))
            case "workload.preempt":
                self._preempt(run, reason)
            case "workload.checkpoint":
                run.pull_again = run.pulling
                self._pull_beside(run)
            case _:
                log.warning("unknown command %s is ignored", kind)

    def _assign(self, session: Session, a: Assignment) -> None:
        if a.key in self.runs or self._ended.get(a.workload_id, -1) >= a.generation:
            return  # repeated or late
        for run in [r for r in self.runs.values() if r.key[0] == a.workload_id]:
            if run.key[1] > a.generation:
                return  # late
            self.abandon(run, Fenced())
        handler = self.config.handlers.get(a.workload_type)
        if self.draining:
            self._decline(a, "worker is draining")
        elif handler is None:
            self._decline(a, f"worker does not offer type {a.workload_type}")
        elif self.active() >= self.config.slots:
            self._decline(a, "worker is full")
            self.urgent.set()  # the coordinator does not know which runs take the slots
        else:
            run = Run(session, a, clock(), self.config.host(self, handler), sequence=a.checkpoint_sequence,
                      resumable=a.checkpoint_sequence > 0)
            self.runs[a.key] = run
            self.outbox.post(run, "start")
            self.spawn(self._execute(run))

    def _decline(self, a: Assignment, why: str) -> None:
        self._remember(a.key)
        log.info("assignment of %s declined: %s", a.workload_id, why)
        self.outbox.tell(a.key, "decline", why)

    def _remember(self, key: Key) -> None:
        self._ended[key[0]] = max(key[1], self._ended.pop(key[0], -1))
        while len(self._ended) > ENDED_LIMIT:
            self._ended.popitem(last=False)

    # The life of a run.

    async def _execute(self, run: Run) -> None:
        try:
            ended = await self._perform(run)
        except ApiError as e:
            ended = Ended(error_type=type(e).__name__, message=str(e))
        except Exception as e:
            log.exception("running %s failed in the worker itself", run.key[0])
            ended = Ended(error_type=type(e).__name__, message=f"the worker failed: {e}")
        if run.abandoned or run.session.over or run.session is not self.session:
            self.remove(run)
            if self.live_session() is not None:
                # The slot is free at once, not only after the next inventory.
                self.outbox.tell(run.key, "release", "the run was stopped")
            return
        if ended.trace:
            self.log_line(run, "ERROR", ended.trace, None)
        event, result, more = outcome(run, ended)
        run.state, run.ended_at, run.progress = REPORTING, clock(), None
        self.outbox.post(run, event, result, **more)
        self.wake_lines.set()

    async def _perform(self, run: Run) -> Ended:
        state: bytes | None = None
        if run.sequence > 0:
            state = await self._restore(run)
        if run.cause is not None or not run.session.holds():
            return Ended(stopped=True)
        if run.state == STARTING:
            run.state = RUNNING
        a = run.assignment
        if a.timeout_ms > 0:
            run.deadline = run.accepted + a.timeout_ms / 1000
        if a.checkpoint_interval_ms > 0:
            run.next_pull = clock() + a.checkpoint_interval_ms / 1000
        run.percent = run.pulled_at = a.progress_percent
        return await run.host.perform(run, state)

    def _path(self, run: Run, sequence: int, more: str = "") -> str:
        return (
            f"/v1/worker/workloads/{run.key[0]}/checkpoints/{sequence}?worker_id={self.config.worker_id}"
            f"&session_id={run.session.id}&generation={run.key[1]}{more}"
        )

    async def _restore(self, run: Run) -> bytes | None:
        """Loads the checkpoint to continue from; None: none is left."""
        delay = RETRY_MIN
        while run.cause is None and self.live_session() is run.session:
            try:
                call = self.plane.call("GET", self._path(run, run.sequence), line=DATA)
                answer = await _unless(run.aborted, call)
                return None if answer is None else answer.body
            except NotFound:
                log.warning("no checkpoint of %s is left: it begins anew", run.key[0])
                return None
            except ApiError as e:
                if e.code != "FENCED":
                    raise
                self.abandon(run, Fenced())
            except Unanswered:
                await _unless(run.aborted, self.pause(delay))
                delay = min(2 * delay, RETRY_MAX)
        return None

    async def save(self, run: Run, data: bytes, percent: float | None, message: str) -> Stopped | None:
        """Stores a checkpoint. It is durable when this returns None, or a cause that `saves`.

        While its outcome is unknown, the same bytes are sent again under the same sequence.
        """
        async with run.saving:
            if percent is not None:
                percent = min(max(percent, 0.0), 100.0)
            more = "" if percent is None else f"&progress_percent={percent!r}"
            more += f"&progress_message={_quoted(message)}" if message else ""
            delay = RETRY_MIN
            while True:
                if (stop := self._may_not_save(run)) is not None:
                    return stop
                # Coordinators refuse checkpoints of a run that has not started.
                await _unless(run.aborted, run.acknowledged.wait())
                if (stop := self._may_not_save(run)) is not None:
                    return stop
                try:
                    call = self.plane.call("PUT", self._path(run, run.sequence + 1, more), line=DATA, body=data)
                    answer = await _unless(run.aborted, call)
                except ApiError as e:
                    if session_over(e):
                        return self.fenced(run, "")
                    raise
                except Unanswered as e:
                    (log.warning if delay == RETRY_MIN else log.debug)("a checkpoint is not answered yet: %s", e)
                    await _unless(run.aborted, self.pause(delay))
                    delay = min(2 * delay, RETRY_MAX)
                    continue
                if answer is None:
                    continue  # the time to save is over
                a = decoded(answer)
                if a.get("outcome") in ("applied", "already"):
                    run.sequence += 1
                    self._saved(run, percent)
                    return run.cause
                if a.get("outcome") == "illegal":
                    raise ApiError(f"checkpoint {run.sequence + 1} is not possible: {a}", code="INVALID_STATE")
                return self.fenced(run, a.get("status", ""))

    def _may_not_save(self, run: Run) -> Stopped | None:
        if self.live_session() is not run.session:
            return run.cause or LeaseLost()
        if run.abandoned or run.aborted.is_set() or run.cause is not None and run.grace_left() <= 0:
            return run.cause or Fenced()
        return None

    def _saved(self, run: Run, percent: float | None) -> None:
        run.resumable = True
        if percent is not None:
            run.percent, run.progress = percent, None  # what waits is older
        run.pulled_at = max(run.pulled_at, run.percent)

    async def pause(self, delay: float) -> None:
        """Sleeps for about a delay."""
        await asyncio.sleep(delay / 2 + random.random() * delay)

    def report(self, run: Run, percent: float, message: str) -> None:
        """Notes progress. The agent takes a checkpoint at each tenth of it."""
        if run.abandoned or run.state == REPORTING or percent != percent:
            return
        run.percent, run.message = min(max(percent, 0.0), 100.0), message[:1000]
        run.progress = (run.percent, run.message)
        self.outbox.moved[run] = None
        self.wake.set()
        if run.percent >= run.pulled_at + PULL_STEP and not run.pulling:
            run.pulled_at = run.percent
            self._pull_beside(run)

    def log_line(self, run: Run, level: str, message: str, details: dict[str, Any] | None) -> None:
        """Adds a line to the log of a run."""
        if not run.abandoned and run.state != REPORTING:
            self.outbox.add_line(run, Line(now_text(), level, message[:8192], details))

    # Checkpoints that the agent takes.

    def _pull_beside(self, run: Run) -> None:
        if run.pulling:
            return

        async def pull() -> None:
            run.pulling = True
            try:
                await self._pull(run)
            finally:
                run.pulling = False
            if run.pull_again:
                run.pull_again = False
                self._pull_beside(run)

        self.spawn(pull())

    async def _pull(self, run: Run) -> bool | None:
        """Asks the handler for a checkpoint and saves it. Returns whether it is durable; None: there
        is nothing to save. If it fails, the last durable checkpoint stands."""
        if run.abandoned or run.state != RUNNING:
            return None
        try:
            async with asyncio.timeout(STOP_GRACE):
                data = await run.host.snapshot()
                stop = await self.save(run, data, run.percent, run.message)
                return stop is None or stop.saves
        except NoCheckpoint:
            return None
        except Exception as e:
            if not run.abandoned:
                log.warning("a checkpoint of %s failed: %r", run.key[0], e)
            return False

    # Stopping. A run that was told to stop keeps its slot until its handler returns.

    def abandon(self, run: Run, cause: Stopped) -> None:
        """Stops a run at once, without a report: this worker may no longer report on it."""
        if run.abandoned:
            return
        run.abandoned = True
        run.acknowledged.set()
        self.outbox.drop(run)
        if run.state == REPORTING:
            self.remove(run)
        else:
            self._stop(run, cause)

    def fenced(self, run: Run, status: str) -> Stopped:
        """Stops a run that a coordinator refuses, and returns why."""
        self.abandon(run, Cancelled() if status == "CANCELLED" else Fenced())
        return run.cause or Fenced()

    def _stop(self, run: Run, cause: Stopped) -> None:
        if run.state != REPORTING:
            run.state = STOPPING
        run.cancelled_at = run.cancelled_at or clock()
        if run.cause is None or run.cause.saves and not cause.saves:
            run.cause = cause
            if not cause.saves:
                run.aborted.set()
            run.host.stop(cause)

    def halt(self, run: Run, cause: Stopped) -> None:
        """Has a run save a checkpoint and stop. It is reported as paused or released."""
        if run.abandoned or run.halting is not None or run.state in (REPORTING, STOPPING):
            return
        run.halting, run.halt_by = cause, clock() + STOP_GRACE + run.session.lease

        async def body() -> None:
            try:
                await self._pull(run)
            finally:
                self._stop(run, cause)

        self.spawn(body())

    def _preempt(self, run: Run, why: str) -> None:
        """Has a run save a checkpoint, and stops it only if that is durable: a run that cannot save
        goes on. A pause or a drain that comes meanwhile takes effect as usual."""
        if run.abandoned or run.halting is not None or run.preempting or run.state != RUNNING:
            return
        run.preempting = True

        async def body() -> None:
            saved = await self._pull(run)
            run.preempting = False
            durable = saved or saved is None and run.resumable  # it has saved one itself
            if durable and not run.abandoned and run.halting is None and run.state == RUNNING:
                run.halting = Preempted(why)
                self._stop(run, run.halting)

        self.spawn(body())

    def refuse(self) -> None:
        """Refuses new work."""
        if not self.draining:
            self.draining = True
            log.info("draining, %d runs", len(self.runs))

    def drain(self) -> None:
        """Refuses new work. Every run saves a checkpoint, stops and is released."""
        self.refuse()
        for run in list(self.runs.values()):
            self.halt(run, Draining())

    def stop_all(self, cause: Stopped) -> None:
        """Tells all runs to stop."""
        for run in list(self.runs.values()):
            self._stop(run, cause)

    def remove(self, run: Run) -> None:
        """Forgets a run."""
        if self.runs.get(run.key) is run:
            del self.runs[run.key]
        self._remember(run.key)

    def tick(self) -> None:
        """Does what is due. It is as precise as the calls are frequent."""
        self.live_session()
        now = clock()
        for run in list(self.runs.values()):
            self._tick(run, now)
        if self.outbox.moved or self.outbox.reports:
            self.wake.set()
        if self.outbox.logged:
            self.wake_lines.set()

    def _tick(self, run: Run, now: float) -> None:
        if run.state == REPORTING:
            return
        if run.cancelled_at:
            if run.grace_left() <= 0:
                run.aborted.set()
                run.host.end()
                if not run.stuck:
                    run.stuck = True
                    log.error("the run of %s does not stop: its slot stays taken until it does", run.key[0])
                    self.urgent.set()
        elif run.halting is not None and run.halt_by and now >= run.halt_by:
            self._stop(run, run.halting)  # its checkpoint takes too long
        elif run.deadline and now >= run.deadline:
            self._stop(run, Timeout())
        elif run.next_pull and now >= run.next_pull and not run.pulling and run.state == RUNNING:
            run.next_pull = now + run.assignment.checkpoint_interval_ms / 1000
            self._pull_beside(run)


def outcome(run: Run, ended: Ended) -> tuple[str, bytes | None, dict[str, Any]]:
    """Returns the last report of a run: its event, its result and what else it says."""
    if ended.result is not None:
        return "complete", ended.result, {}
    if isinstance(run.cause, Timeout) and not ended.permanent:
        message = f"timed out after {run.assignment.timeout_ms / 1000:g} s"
        if not ended.stopped:
            message += f": {ended.message}"
        return "fail", None, {"failure": {"type": "timeout", "message": message}}
    if ended.stopped:
        match run.cause:
            case Paused():
                return "paused", None, {}
            case Preempted():
                return "release", None, {"reason": str(run.cause), "retry_after_ms": PREEMPTION_DELAY_MS}
            case Draining():
                return "release", None, {"reason": "worker drained"}
        ended = Ended(error_type="stopped", message="the handler raised a cancellation that nobody asked for")
    failure = {"type": ended.error_type, "message": ended.message, "permanent": ended.permanent}
    after = {} if ended.retry_after is None else {"retry_after_ms": int(ended.retry_after * 1000)}
    return "fail", None, {"failure": failure, **after}


async def _unless(event: asyncio.Event, f: Coroutine[Any, Any, T]) -> T | None:
    """Returns what f returns, or None when the event comes first. Then f is cancelled."""
    work, wait = asyncio.ensure_future(f), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((work, wait), return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        for task in (work, wait):
            task.cancel()


def _quoted(text: str) -> str:
    return quote(text[:1000], safe="")
