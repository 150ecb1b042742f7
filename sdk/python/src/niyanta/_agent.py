"""What a worker is to its coordinators: its session, and the commands that it obeys.

All of it lives in one event loop, the control loop, which has a thread of its own: a handler that
computes without a pause neither delays heartbeats nor reports. Methods that other threads call say
so.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from . import _codec
from ._checkpoints import Checkpoints
from ._handlers import Handler
from ._hosts import Host
from ._mailbox import Mailbox
from ._outbox import Outbox
from ._plane import Plane, Unanswered, commands, decoded, session_over
from ._run import Assignment, Run, Session, clock
from ._runs import Runs
from .errors import ApiError
from .resources import WorkerResources
from .stops import Cancelled, Draining, Fenced, LeaseLost, Paused, Stopped

log = logging.getLogger("niyanta.worker")
T = TypeVar("T")

# No lease is as long as that.
_FOREVER_MS = 10**10


def _seconds(answer: dict[str, Any], name: str) -> float:
    """Returns a member in milliseconds as seconds."""
    value = answer.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < _FOREVER_MS:
        raise Unanswered(f"the answer has no {name}: {value!r}"[:200])
    return value / 1000


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a worker is."""

    worker_id: str
    slots: int
    handlers: dict[str, Handler]
    host: Callable[[Agent, Handler], Host]
    resources: WorkerResources = WorkerResources()
    tags: dict[str, str] = field(default_factory=dict)
    version: str = ""
    take_over: bool = False
    process_id: str = field(default_factory=lambda: f"proc_{uuid.uuid4().hex}")
    certificate_digest: str = ""


class Agent:
    """Keeps a session and runs what is assigned to it."""

    def __init__(self, config: Config, plane: Plane, loop: asyncio.AbstractEventLoop) -> None:
        self.config, self.plane, self.loop = config, plane, loop
        self._mailbox = Mailbox(loop)
        self.session: Session | None = None
        self.draining = self.leaving = False
        self.wake, self.wake_lines, self.urgent = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.runs, self.checkpoints, self.outbox = Runs(self), Checkpoints(self), Outbox(self)
        #: Called when a session begins, is renewed or ends: with when it must have ended, or 0.
        self.on_lease: Callable[[float], None] = lambda fence_at: None
        self._previous = ""
        # The session that registrations ask for until one is answered. With an id of its own, one that
        # is executed late would take the place of the session that a later one began.
        self._next = ""
        self._beside: set[asyncio.Task[Any]] = set()

    def call(self, f: Callable[..., Any], *args: Any) -> None:
        """Calls f in the control loop. May be called in any thread."""
        self._mailbox.call(f, *args)

    def beside(self, f: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begins f as a task that ends with the worker at the latest."""
        self._beside.add(task := self.loop.create_task(f))
        task.add_done_callback(self._beside.discard)
        return task

    def spawn(self, f: Coroutine[Any, Any, None]) -> None:
        """Does what `beside` does, for what nobody waits for."""
        self.beside(f).add_done_callback(self._spawned)

    @staticmethod
    def _spawned(task: asyncio.Task[None]) -> None:
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
        session_id = self._next = self._next or f"sess_{uuid.uuid4().hex}"
        message = {
            "worker_id": c.worker_id, "session_id": session_id, "previous_session_id": self._previous,
            "process_id": c.process_id, "certificate_digest": c.certificate_digest,
            "capabilities": sorted(c.handlers), "slots": c.slots,
            "resources": _codec.stated(c.resources), "tags": c.tags,
            "version": c.version or f"python {platform.python_version()}",
            "take_over": c.take_over and not self._previous, "draining": self.draining,
        }
        try:
            answer = decoded(await self.plane.post("/v1/worker/register", {k: v for k, v in message.items() if v}))
        except ApiError as e:
            if e.code == "FENCED":  # the session has ended already
                self._next = ""
            raise
        self._next = ""
        lease = _seconds(answer, "lease_ms")
        self.session = Session(session_id, lease, _seconds(answer, "heartbeat_interval_ms"), sent)
        self._previous, self.plane.lease = session_id, lease
        self.on_lease(self.session.fence_at)
        log.info("registered as %s, session %s, lease %g s", c.worker_id, session_id, lease)
        if self.runs:  # of earlier sessions: the coordinator must not fill their slots
            self.urgent.set()

    async def beat(self, session: Session) -> None:
        """Sends one heartbeat and obeys the commands in the answer."""
        session.number += 1
        told = [r for r in self.runs if r.stuck and not r.stuck_told]
        message = {
            **self.ref(session), "number": session.number, "draining": self.leaving,
            "drained": self.draining and not self.leaving, "free_slots": max(self.config.slots - self.runs.active(), 0),
            "inventory": [
                {"workload_id": r.key[0], "generation": r.key[1], "state": r.state,
                 **({"devices": r.assignment.devices} if r.assignment.devices else {}),
                 **({"stuck": True} if r in told else {})}
                for r in self.runs
            ],
        }
        sent = clock()
        try:
            answer = await self.plane.heartbeat(message)
            lease = _seconds(answer, "lease_ms")
        except ApiError as e:
            if session_over(e):
                self.end_session(session, str(e))
            raise
        for r in told:
            r.stuck_told = True
        if not session.over and sent > session.answered:
            session.answered, session.lease = sent, lease
            self.plane.lease = session.lease
            self.on_lease(session.fence_at)
        if answer.get("commands") is not None:  # mostly there are none
            self.obey(commands(answer))

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
        for run in self.runs:
            self.runs.abandon(run, LeaseLost())

    async def deregister(self) -> None:
        """Ends the session. Nothing of it may run any more."""
        if (session := self.live_session()) is not None:
            await self.plane.post("/v1/worker/end", self.ref(session))
            session.over = True
            log.info("left")

    def idle(self) -> bool:
        """Reports whether nothing runs and everything is reported and answered."""
        return not self.runs and not self.outbox

    # Commands. They are hints: for another session, or a generation that is not held, they are ignored.

    def obey(self, given: list[Any]) -> None:
        """Does what commands say. One that is none costs the others nothing."""
        for c in given:
            try:
                self._obey(c)
            except (ValueError, TypeError, AttributeError) as e:
                log.error("a command is left out: %s: %.200r", e, c)

    def _obey(self, c: dict[str, Any]) -> None:
        session = self.live_session()
        if session is None or c.get("session_id") != session.id:
            return
        kind = c.get("kind")
        if kind == "workload.assign":
            if c.get("assignment"):
                self._assign(session, self._read(c))
        elif kind == "worker.drain":
            self.drain()
        elif kind == "worker.undrain":
            self.draining = self.leaving
        elif (run := self.runs.get((c.get("workload_id", ""), c.get("generation", 0)))) is not None:
            self._command(run, str(kind), c.get("reason") or "")

    def _read(self, c: dict[str, Any]) -> Assignment:
        try:
            return _codec.decode(Assignment, c["assignment"], "assignment")
        except _codec.Mismatch as e:
            key = (c.get("workload_id"), c.get("generation"))
            if isinstance(key[0], str) and isinstance(key[1], int):
                self.outbox.tell((key[0], key[1]), "decline", f"the worker cannot read it: {e}"[:1000])
            raise

    def _command(self, run: Run, kind: str, reason: str) -> None:
        match kind:
            case "workload.cancel":
                self.runs.abandon(run, Cancelled(reason))
            case "workload.drop":
                self.runs.abandon(run, Fenced(reason))
            case "workload.pause":
                self.runs.halt(run, Paused(reason))
            case "workload.preempt":
                self.runs.preempt(run, reason)
            case "workload.checkpoint":
                run.pull_again = run.pulling
                self.checkpoints.take_beside(run)
            case _:
                log.warning("unknown command %s is ignored", kind)

    def _assign(self, session: Session, a: Assignment) -> None:
        if self.runs.knows(a):
            return
        self.runs.supersede(a)
        handler = self.config.handlers.get(a.workload_type)
        if self.draining:
            self._decline(a, "worker is draining")
        elif handler is None:
            self._decline(a, f"worker does not offer type {a.workload_type}")
        elif self.runs.active() >= self.config.slots:
            self._decline(a, "worker is full")
            self.urgent.set()  # the coordinator does not know which runs take the slots
        elif not self.runs.holding.allows(a.resources, a.devices):
            self._decline(a, "what it reserves is taken on the worker")
            self.urgent.set()  # the coordinator does not know which runs hold it
        else:
            self.runs.begin(session, a, handler)

    def _decline(self, a: Assignment, why: str) -> None:
        self.runs.remember(a.key)
        log.info("assignment of %s declined: %s", a.workload_id, why)
        self.outbox.tell(a.key, "decline", why)

    def refuse(self) -> None:
        """Refuses new work."""
        if not self.draining:
            self.draining = True
            log.info("draining, %d runs", len(self.runs))

    def drain(self) -> None:
        """Refuses new work. Every run saves a checkpoint, stops and is released."""
        self.refuse()
        for run in self.runs:
            self.runs.halt(run, Draining())

    def stop_all(self, cause: Stopped) -> None:
        """Tells all runs to stop."""
        for run in self.runs:
            self.runs.stop(run, cause)

    def tick(self) -> None:
        """Does what is due. It is as precise as the calls are frequent."""
        self.live_session()
        self.runs.tick()
        if self.outbox.moved or self.outbox.reports:
            self.wake.set()
        if self.outbox.logged:
            self.wake_lines.set()
