"""The loops that drive an agent, in a thread of their own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from ._agent import Agent, Config
from ._plane import RETRY_MAX, RETRY_MIN, Plane, Unanswered, pause, session_over
from ._run import REPORTING, STOP_GRACE, Session, clock
from .errors import ApiError, NiyantaError
from .stops import Draining, Stopped

log = logging.getLogger("niyanta.worker")

TICK = 0.05
# The shortest time between two urgent heartbeats, and the pause after one that was not answered.
BEAT_PAUSE, BEAT_RETRY = 0.1, 0.25
CONNECT_PAUSE_MAX = 5.0
# How long a report waits for the answer to an earlier request before another one starts beside it,
# and how many of one kind are under way at once.
FLIGHT_TIMEOUT, FLIGHTS = 0.2, 4
# How long a drain waits until the coordinator knows of it.
ANNOUNCE_TIMEOUT = 2.0
DEREGISTER_TIMEOUT = 2.0
# The part of a drain's timeout that is reserved for the end of the process.
END_RESERVE = 1.0
# How long another process may hold the worker id, if the coordinator does not say.
CONTENDED_LEASE, CONTENDED_INTERVAL = 10.0, 2.5


class WorkerError(NiyantaError):
    """The worker cannot go on, or could not end as it should."""


class Engine:
    """Runs an agent until it is told to leave."""

    def __init__(
        self, config: Config, plane: Callable[[], Plane], drain_timeout: float,
        attach: Callable[[Agent, Callable[[Exception], None]], None],
    ) -> None:
        self._config, self._make_plane, self._drain_timeout = config, plane, drain_timeout
        self._attach = attach
        self._loop = asyncio.new_event_loop()
        self._leave, self._hard = asyncio.Event(), asyncio.Event()
        self._fatal: asyncio.Future[None] = self._loop.create_future()

    def leave(self, times: int) -> None:
        """Drains the worker, which was told so as many times: the second time skips the rest of the
        drain. May be called in any thread, by signal handlers, and before `start`."""
        try:
            self._loop.call_soon_threadsafe((self._leave if times == 1 else self._hard).set)
        except RuntimeError:
            pass  # it has ended

    def start(self, ended: Callable[[BaseException | None], None]) -> threading.Thread:
        """Starts the control thread, which calls ended at its end."""

        def body() -> None:
            error: BaseException | None = None
            try:
                asyncio.set_event_loop(self._loop)
                self._loop.run_until_complete(self._main())
            except BaseException as e:
                error = e
            finally:
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
                self._loop.close()
                ended(error)

        thread = threading.Thread(target=body, name="niyanta control", daemon=True)
        thread.start()
        return thread

    def _fail(self, error: Exception) -> None:
        if not self._fatal.done():
            self._fatal.set_exception(error)

    async def _main(self) -> None:
        plane = self._make_plane()
        agent = self.agent = Agent(self._config, plane, self._loop)
        self._attach(agent, self._fail)
        loops = [
            self._loop.create_task(f)
            for f in (
                self._sessions(), self._polls(), self._deliver(agent.wake, agent.outbox.send_reports),
                self._deliver(agent.wake_lines, agent.outbox.send_lines), self._ticks(),
            )
        ]
        for task in loops:
            task.add_done_callback(self._loop_ended)
        try:
            await self._life(agent)
        finally:
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await agent.close()
            await plane.close()

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error if isinstance(error, Exception) else WorkerError(repr(error)))

    async def _life(self, agent: Agent) -> None:
        leave = self._loop.create_task(self._leave.wait())
        hard = self._loop.create_task(self._hard.wait())
        failure: Exception | None = None
        rest = STOP_GRACE
        try:
            await asyncio.wait((leave, hard, self._fatal), return_when=asyncio.FIRST_COMPLETED)
            if self._fatal.done():
                failure = _error(self._fatal)
            elif not hard.done():
                end = clock() + self._drain_timeout
                failure = await self._drain(agent, hard)
                rest = min(rest, max(end - clock(), 0.1))
        finally:
            leave.cancel()
            hard.cancel()
        agent.stop_all(Stopped("the worker ends"))
        for run in agent.runs:
            if self._hard.is_set() or failure is not None:
                run.host.end()
        none_left = await self._no_runs(agent, 1.0 if self._hard.is_set() else rest)
        if none_left:
            await _within(1.0, self._until(agent.idle))
            try:
                await asyncio.wait_for(agent.deregister(), DEREGISTER_TIMEOUT)
            except (ApiError, Unanswered, TimeoutError) as e:
                log.warning("cannot deregister, the session ends with its lease: %s", e)
        else:
            left = sorted(r.key[0] for r in agent.runs if r.state != REPORTING)
            failure = failure or WorkerError(f"these runs do not stop: {', '.join(left[:10])}")
        if failure is None and self._hard.is_set():
            failure = WorkerError("the drain was cut short by a second signal")
        if failure is not None:
            raise failure

    async def _drain(self, agent: Agent, hard: asyncio.Task[Any]) -> Exception | None:
        until = clock() + self._drain_timeout - min(END_RESERVE, self._drain_timeout / 10)
        agent.leaving = True
        agent.refuse()
        # The coordinator must know of the drain before the first release, or it would place the
        # released work here again.
        if (session := agent.live_session()) is not None:
            try:
                await asyncio.wait_for(agent.beat(session), min(ANNOUNCE_TIMEOUT, self._drain_timeout / 4))
            except (ApiError, Unanswered, TimeoutError) as e:
                log.debug("the coordinator does not know of the drain: %s", e)
        agent.drain()
        idle = self._loop.create_task(self._until(agent.idle))
        try:
            polite = until - min(STOP_GRACE, self._drain_timeout / 4)
            for end in (polite, until):
                await asyncio.wait(
                    (idle, hard, self._fatal), timeout=max(end - clock(), 0), return_when=asyncio.FIRST_COMPLETED
                )
                if idle.done() or hard.done():
                    return None
                if self._fatal.done():
                    return _error(self._fatal)
                agent.stop_all(Draining())
        finally:
            idle.cancel()
        left = sorted(r.key[0] for r in agent.runs if r.state != REPORTING)
        what = f"{', '.join(left[:10])} did not stop" if left else "reports are not answered"
        return WorkerError(f"the drain did not finish within {self._drain_timeout:g} s: {what}")

    async def _no_runs(self, agent: Agent, seconds: float) -> bool:
        return await _within(seconds, self._until(lambda: all(r.state == REPORTING for r in agent.runs)))

    @staticmethod
    async def _until(done: Callable[[], bool]) -> None:
        while not done():  # many different events make it true
            await asyncio.sleep(0.005)

    async def _sessions(self) -> None:
        """Keeps a session: registers, sends heartbeats, and registers again when it is lost."""
        while not self.agent.leaving:
            await self._connect()
            while (session := self.agent.live_session()) is not None:
                urgent = self.agent.urgent
                if await _within(session.interval, urgent.wait()):
                    await asyncio.sleep(min(BEAT_PAUSE, session.interval))  # let more changes gather
                    urgent.clear()
                await self._beat(session)

    async def _connect(self) -> None:
        delay, give_up = RETRY_MIN, 0.0
        while not self.agent.leaving:
            try:
                return await self.agent.register()
            except ApiError as e:
                if e.code == "FENCED":  # it had begun without an answer, and has ended: begin another one
                    await pause(delay)
                    delay = min(2 * delay, CONNECT_PAUSE_MAX)
                    continue
                if e.code != "CONFLICT":
                    raise
                wait = _ms(e, "heartbeat_interval_ms", CONTENDED_INTERVAL)
                give_up = give_up or clock() + _ms(e, "lease_ms", CONTENDED_LEASE) + wait
                if clock() >= give_up:
                    raise  # the other process lives
                log.warning("worker id %s is held by another process, trying again: %s", self._config.worker_id, e)
                await asyncio.sleep(wait)
            except Unanswered as e:
                log.debug("cannot register: %s", e)
                await pause(delay)
                delay = min(2 * delay, CONNECT_PAUSE_MAX)

    async def _beat(self, session: Session) -> None:
        while not session.over and self.agent.live_session() is session:
            try:
                return await self.agent.beat(session)
            except ApiError as e:
                if session_over(e):
                    if e.code == "CONFLICT":
                        raise
                    return
                log.warning("a heartbeat was refused: %s", e)
                await asyncio.sleep(BEAT_RETRY)
            except Unanswered as e:
                log.debug("a heartbeat was not answered: %s", e)
                await asyncio.sleep(BEAT_RETRY)

    async def _polls(self) -> None:
        while True:
            session = self.agent.live_session()
            if session is None:
                await asyncio.sleep(TICK)
                continue
            try:
                self.agent.obey(await self.agent.plane.poll(self.agent.ref(session)))
            except ApiError as e:
                if session_over(e):
                    self.agent.end_session(session, str(e))
                await asyncio.sleep(BEAT_RETRY)
            except Unanswered as e:
                log.debug("cannot poll: %s", e)
                await asyncio.sleep(BEAT_RETRY)

    async def _deliver(self, wake: asyncio.Event, send: Callable[[], Awaitable[bool]]) -> None:
        """Calls send whenever there may be something to send. While requests are answered soon there is
        one at a time, so that the next reports gather."""
        flights: set[asyncio.Task[None]] = set()
        while True:
            await wake.wait()
            if len(flights) >= FLIGHTS:
                await asyncio.wait(flights, return_when=asyncio.FIRST_COMPLETED)
            wake.clear()
            task = self._loop.create_task(self._send_all(send))
            flights.add(task)
            task.add_done_callback(flights.discard)
            await asyncio.wait((task,), timeout=FLIGHT_TIMEOUT)

    async def _send_all(self, send: Callable[[], Awaitable[bool]]) -> None:
        delay = RETRY_MIN
        while True:
            try:
                if not await send():
                    return
                delay = RETRY_MIN
            except (ApiError, Unanswered) as e:
                log.debug("reports are not answered: %s", e)
                await pause(delay)
                delay = min(2 * delay, RETRY_MAX)

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.agent.tick()


async def _within(seconds: float, f: Awaitable[Any]) -> bool:
    """Waits for f at most as long, and returns whether it ended."""
    try:
        await asyncio.wait_for(f, seconds)
        return True
    except TimeoutError:
        return False


def _error(future: asyncio.Future[None]) -> Exception:
    error = future.exception()
    return error if isinstance(error, Exception) else WorkerError(repr(error))


def _ms(error: ApiError, name: str, otherwise: float) -> float:
    value = error.details.get(name)
    return value / 1000 if isinstance(value, (int, float)) else otherwise
