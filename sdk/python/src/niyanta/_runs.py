"""The runs of an agent: how each begins, goes on, is stopped and ends."""

from __future__ import annotations

import collections
import functools
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ._checkpoints import unless
from ._handlers import Ended, Handler
from ._holding import Holding
from ._outbox import now_text
from ._run import REPORTING, RUNNING, STARTING, STOP_GRACE, STOPPING, Assignment, Key, Line, Run, Session, clock
from .errors import ApiError
from .stops import Cancelled, Fenced, Paused, Draining, Preempted, Stopped, Timeout

if TYPE_CHECKING:
    from ._agent import Agent

log = logging.getLogger("niyanta.worker")

# How many runs that ended are remembered, so that a late assignment does not start one again.
ENDED_LIMIT = 20_000
# The progress in percent after which a checkpoint is taken.
PULL_STEP = 10
# How long a workload that made room stays back.
PREEMPTION_DELAY_MS = 5000


class Runs:
    """The runs that the worker holds. Only the control loop uses it."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        #: What the handlers that have not returned hold of the worker's resources.
        self.holding = Holding(agent.config.resources)
        self._held: dict[Key, Run] = {}
        #: The keys of those whose handlers have not returned.
        self._active: set[Key] = set()
        #: The run of the highest generation of each workload. Older ones are told to stop.
        self._newest: dict[str, Run] = {}
        self._ended: collections.OrderedDict[str, int] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Run]:
        """Iterates over the runs that are held now. They may be removed meanwhile."""
        return iter(list(self._held.values()))

    def get(self, key: Key) -> Run | None:
        """Returns a run; None: it is not held."""
        return self._held.get(key)

    def active(self) -> int:
        """Returns how many runs take a slot."""
        return len(self._active)

    def knows(self, a: Assignment) -> bool:
        """Reports whether an assignment is repeated or late."""
        newest = self._newest.get(a.workload_id)
        known = -1 if newest is None else newest.key[1]
        return max(known, self._ended.get(a.workload_id, -1)) >= a.generation

    def supersede(self, a: Assignment) -> None:
        """Stops the run of an older generation: the workload was taken away."""
        if (older := self._newest.get(a.workload_id)) is not None:
            self.abandon(older, Fenced())

    def remember(self, key: Key) -> None:
        """Notes that a run has ended, or is not taken."""
        self._ended[key[0]] = max(key[1], self._ended.pop(key[0], -1))
        while len(self._ended) > ENDED_LIMIT:
            self._ended.popitem(last=False)

    def remove(self, run: Run) -> None:
        """Forgets a run."""
        if self._held.get(run.key) is run:
            del self._held[run.key]
        if self._newest.get(run.key[0]) is run:
            del self._newest[run.key[0]]
        self.remember(run.key)

    # The life of a run.

    def begin(self, session: Session, a: Assignment, handler: Handler) -> None:
        """Starts a run."""
        run = Run(
            session, a, clock(), self._agent.config.host(self._agent, handler), sequence=a.checkpoint_sequence,
            resumable=a.checkpoint_sequence > 0,
        )
        if a.timeout_ms > 0:  # to load the checkpoint counts, too
            run.deadline = run.accepted + a.timeout_ms / 1000
        self.holding.take(a.resources, a.devices)
        self._active.add(a.key)
        self._held[a.key] = self._newest[a.workload_id] = run
        self._agent.outbox.post(run, "start")
        begin = getattr(run.host, "begin", None)
        if begin is None or a.generation > 1 or run.sequence > 0 or a.unreadable:
            self._agent.spawn(self._execute(run))
        else:  # nothing has to be awaited before
            self._running(run)
            begin(run, None, functools.partial(self._finish, run))

    async def _execute(self, run: Run) -> None:
        try:
            ended = await self._perform(run)
        except ApiError as e:
            ended = Ended(error_type=type(e).__name__, message=str(e))
        except Exception as e:
            log.exception("running %s failed in the worker itself", run.key[0])
            ended = Ended(error_type=type(e).__name__, message=f"the worker failed: {e}")
        self._finish(run, ended)

    def _finish(self, run: Run, ended: Ended) -> None:
        self._active.discard(run.key)
        self.holding.give_back(run.assignment.resources, run.assignment.devices)
        if run.abandoned or run.session.over or run.session is not self._agent.session:
            self.remove(run)
            if self._agent.live_session() is not None:
                # The slot is free at once, not only after the next inventory.
                self._agent.outbox.tell(run.key, "release", "the run was stopped")
            return
        if ended.trace:
            self.log_lines(run, [Line(now_text(), "ERROR", ended.trace)])
        event, result, more = outcome(run, ended)
        run.state, run.ended_at, run.progress = REPORTING, clock(), None
        self._agent.outbox.post(run, event, result, **more)
        self._agent.wake_lines.set()

    async def _perform(self, run: Run) -> Ended:
        state: bytes | None = None
        if run.assignment.generation > 1:
            # Its code may have ended the worker before: the next death counts only if the start is known.
            await unless(run.aborted, run.acknowledged.wait())
        if run.sequence > 0 and run.cause is None:
            state = await self._agent.checkpoints.restore(run)
        if run.cause is not None or not run.session.holds():
            return Ended(stopped=True)
        if run.assignment.unreadable:
            return Ended(error_type="invalid_input", message=run.assignment.unreadable, permanent=True)
        self._running(run)
        return await run.host.perform(run, state)

    @staticmethod
    def _running(run: Run) -> None:
        if run.state == STARTING:
            run.state = RUNNING
        a = run.assignment
        if a.checkpoint_interval_ms > 0:
            run.next_pull = clock() + a.checkpoint_interval_ms / 1000
        run.percent = run.pulled_at = a.progress_percent

    def report(self, run: Run, percent: float, message: str) -> None:
        """Notes progress. The agent takes a checkpoint at each tenth of it."""
        if run.abandoned or run.state == REPORTING or percent != percent:
            return
        run.percent, run.message = percent, message
        run.reported += 1
        run.progress = (run.percent, run.message)
        self._agent.outbox.moved[run] = None
        self._agent.wake.set()
        if run.percent >= run.pulled_at + PULL_STEP and not run.pulling:
            run.pulled_at = run.percent
            self._agent.checkpoints.take_beside(run)

    def log_lines(self, run: Run, lines: Iterable[Line], dropped: int = 0) -> None:
        """Adds lines to the log of a run. dropped is how many before them were dropped."""
        if not run.abandoned and run.state != REPORTING:
            self._agent.outbox.add_lines(run, lines, dropped)

    # Stopping. A run that was told to stop keeps its slot until its handler returns.

    def abandon(self, run: Run, cause: Stopped) -> None:
        """Stops a run at once, without a report: this worker may no longer report on it."""
        if run.abandoned:
            return
        run.abandoned = True
        run.acknowledged.set()
        self._agent.outbox.drop(run)
        if run.state == REPORTING:
            self.remove(run)
        else:
            self.stop(run, cause)

    def fenced(self, run: Run, status: str) -> Stopped:
        """Stops a run that a coordinator refuses, and returns why."""
        self.abandon(run, Cancelled() if status == "CANCELLED" else Fenced())
        return run.cause or Fenced()

    def stop(self, run: Run, cause: Stopped) -> None:
        """Tells a run to stop."""
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
                await self._agent.checkpoints.take(run)
            finally:
                self.stop(run, cause)

        self._agent.spawn(body())

    def preempt(self, run: Run, why: str) -> None:
        """Has a run save a checkpoint, and stops it only if that is durable: a run that cannot save
        goes on. A pause or a drain that comes meanwhile takes effect as usual."""
        if run.abandoned or run.halting is not None or run.preempting or run.state != RUNNING:
            return
        run.preempting = True

        async def body() -> None:
            saved = await self._agent.checkpoints.take(run)
            run.preempting = False
            durable = saved or saved is None and run.resumable  # it has saved one itself
            if durable and not run.abandoned and run.halting is None and run.state == RUNNING:
                run.halting = Preempted(why)
                self.stop(run, run.halting)

        self._agent.spawn(body())

    def tick(self) -> None:
        """Stops what is due, and takes the checkpoints that are due."""
        now = clock()
        for run in self:
            self._tick(run, now)

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
                    self._agent.urgent.set()
        elif run.halting is not None and run.halt_by and now >= run.halt_by:
            self.stop(run, run.halting)  # its checkpoint takes too long
        elif run.deadline and now >= run.deadline:
            self.stop(run, Timeout())
        elif run.next_pull and now >= run.next_pull and not run.pulling and run.state == RUNNING:
            run.next_pull = now + run.assignment.checkpoint_interval_ms / 1000
            self._agent.checkpoints.take_beside(run)


def outcome(run: Run, ended: Ended) -> tuple[str, bytes | None, dict[str, Any]]:
    """Returns the last report of a run: its event, its result and what else it says."""
    event, result, more = _outcome(run, ended)
    return event, result, {**more, "used": ended.used} if ended.used else more


def _outcome(run: Run, ended: Ended) -> tuple[str, bytes | None, dict[str, Any]]:
    if ended.result is not None:
        return "complete", ended.result, {}
    if isinstance(run.cause, Timeout) and not ended.permanent:
        message = f"timed out after {run.assignment.timeout_ms / 1000:g} s"
        if not ended.stopped:
            message += f": {ended.message}"
        return "fail", None, {"failure": {"type": "timeout", "message": message}}
    if ended.stopped:
        # A worker that ends, however soon, is no failure of its runs; what they were asked for before counts.
        ends = type(run.cause) in (Stopped, Draining)
        match run.halting or Draining() if ends else run.cause:
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
