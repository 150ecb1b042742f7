"""The worker with a scripted coordinator: what it sends, and when."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest

from niyanta import ApiError, Fenced, LeaseLost, Paused, RunError, Stopped, SyncTask, Task, Worker, WorkerError
from niyanta._handlers import Handler
from niyanta._run import Assignment

Answer = Callable[[httpx.Request, Any], Awaitable[httpx.Response | None]]


def error(status: int, code: str, **details: Any) -> httpx.Response:
    shown = {"code": code, "message": "no", "details": details, "request_id": "r"}
    return httpx.Response(status, json={"error": shown})


class Coordinator:
    """Answers a worker as a script says. Requests arrive in the worker's control thread."""

    def __init__(self, lease: float = 10, interval: float = 0.05) -> None:
        self.lease, self.interval = lease, interval
        self.sessions: list[dict[str, Any]] = []
        self.beats: list[dict[str, Any]] = []
        self.batches: list[list[dict[str, Any]]] = []
        self.puts: list[tuple[str, bytes]] = []
        self.ended: list[dict[str, Any]] = []
        self.saved: dict[str, bytes] = {}
        self.connections = 0
        self._commands: list[dict[str, Any]] = []
        #: May answer instead: gets the request and its message, returns None to leave it.
        self.script: dict[str, Answer] = {}
        #: What reports are answered with, by event.
        self.outcomes: dict[str, str] = {}

    @property
    def sequences(self) -> list[int]:
        """Returns the sequences of the checkpoints that were saved."""
        return [int(re.findall(r"/checkpoints/(\d+)\?", url)[0]) for url, _ in self.puts]

    @property
    def beat(self) -> dict[str, Any]:
        """Returns the last heartbeat."""
        return self.beats[-1] if self.beats else {"inventory": ["none yet"], "free_slots": -1, "number": 0}

    @property
    def waiting(self) -> int:
        """Returns how many commands no poll has fetched."""
        return len(self._commands)

    @property
    def session(self) -> str:
        return str(self.sessions[-1]["session_id"])

    @property
    def reports(self) -> list[dict[str, Any]]:
        return [r for batch in self.batches for r in batch]

    def events(self, workload: str) -> list[str]:
        left_out = ("log", "progress")
        return [r["event"] for r in self.reports if r["workload_id"] == workload and r["event"] not in left_out]

    def command(self, kind: str, workload: str = "wl_1", generation: int = 1, session: str = "", **more: Any) -> None:
        self._commands.append({
            "kind": kind, "session_id": session or self.session, "workload_id": workload, "generation": generation,
            **more,
        })

    def assign(self, kind: str, workload: str = "wl_1", generation: int = 1, session: str = "", **more: Any) -> None:
        assignment = {
            "workload_id": workload, "customer_id": "c", "workload_type": kind, "generation": generation,
            "input_params": {}, "attempt": 0, "max_retries": 5, **more,
        }
        self.command("workload.assign", workload, generation, session, assignment=assignment)

    def http(self) -> httpx.AsyncClient:
        self.connections += 1
        return httpx.AsyncClient(transport=httpx.MockTransport(cast(Any, self._answer)))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer key"
        path = request.url.path
        message = json.loads(request.content) if request.headers.get("Content-Type") == "application/json" else None
        name = path.rsplit("/", 1)[1] if "checkpoints" not in path else request.method
        if name in self.script and (answer := await self.script[name](request, message)) is not None:
            return answer
        handler: Callable[[httpx.Request, Any], Awaitable[httpx.Response]] = getattr(self, f"_{name}")
        return await handler(request, message)

    async def _register(self, request: httpx.Request, message: Any) -> httpx.Response:
        self.sessions.append(message)
        return httpx.Response(200, json={
            "lease_ms": int(self.lease * 1000), "heartbeat_interval_ms": int(self.interval * 1000),
        })

    async def _heartbeat(self, request: httpx.Request, message: Any) -> httpx.Response:
        self.beats.append(message)
        return httpx.Response(200, json={"lease_ms": int(self.lease * 1000)})

    async def _poll(self, request: httpx.Request, message: Any) -> httpx.Response:
        for _ in range(100):
            if self._commands:
                break
            await asyncio.sleep(0.01)
        commands, self._commands = self._commands, []
        return httpx.Response(200, json={"commands": commands})

    async def _report(self, request: httpx.Request, message: Any) -> httpx.Response:
        self.batches.append(message["reports"])
        return httpx.Response(200, json={"answers": [
            {"report_id": r["report_id"], "outcome": self.outcomes.get(r["event"], "applied"), "status": "RUNNING"}
            for r in message["reports"]
        ]})

    async def _PUT(self, request: httpx.Request, message: Any) -> httpx.Response:
        self.puts.append((str(request.url), request.content))
        self.saved[request.url.path.rsplit("/", 1)[1]] = request.content
        return httpx.Response(200, json={"outcome": "applied", "status": "RUNNING"})

    async def _GET(self, request: httpx.Request, message: Any) -> httpx.Response:
        sequence = request.url.path.rsplit("/", 1)[1]
        data = self.saved.get(sequence)
        if data is None:
            return error(404, "NOT_FOUND")
        return httpx.Response(200, content=data, headers={"Niyanta-Checkpoint-Sequence": sequence})

    async def _end(self, request: httpx.Request, message: Any) -> httpx.Response:
        self.ended.append(message)
        return httpx.Response(204)


@dataclass
class State:
    at: int = 0


class Stalls:
    """Adds up for how long this process was kept from running."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        due = time.monotonic() + 0.005
        while not self._over.wait(0.005):
            now = time.monotonic()
            self.seconds += max(now - due, 0)
            due = now + 0.005

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class Fixture:
    """A worker in this process, and what its handlers saw."""

    def __init__(self, coordinator: Coordinator, slots: int = 2, **more: Any) -> None:
        self.c = coordinator
        self.worker = Worker(
            "http://a", "key", worker_id="w1", slots=slots, http=coordinator.http, drain_timeout=30, **more
        )
        self.seen: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, Any] = {}

        @self.worker.workload("gate")
        async def gate(task: Task[dict[str, Any], State]) -> str:
            """Waits until the test opens its gate."""
            self.tasks[task.workload_id] = task
            self.seen.append(f"{task.workload_id}/{task.generation} begins")
            opened = self.gates.setdefault(f"{task.workload_id}/{task.generation}", asyncio.Event())
            try:
                await opened.wait()
            except Stopped as stop:
                self.seen.append(f"{task.workload_id}/{task.generation} {type(stop).__name__}")
                raise
            return "opened"

        @self.worker.workload("steps")
        async def steps(task: Task[dict[str, Any], State]) -> int:
            """Saves after each step until it is told to stop, or has made as many as it was asked to."""
            state = task.state or State()
            while state.at < task.input.get("to", 1_000_000):
                await asyncio.sleep(0.01)
                state.at += 1
                await task.checkpoint(state)
            return state.at

        @self.worker.workload("noop")
        async def noop(task: Task[Any, None]) -> None:
            return None

    def run(self, test: Callable[[Fixture], Awaitable[None]]) -> None:
        async def body() -> None:
            running = asyncio.ensure_future(self.worker.run())
            await self.until("it registers", lambda: self.c.sessions or running.done(), 60)
            try:
                await asyncio.wait_for(test(self), 100)
            finally:
                self.worker.stop()
                await running

        asyncio.run(body())

    async def until(self, what: str, done: Callable[[], Any], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}; seen {self.seen}"
            await asyncio.sleep(0.005)


def test_assignment_is_started_and_completed() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("steps", input_params={"to": 3})
        await f.until("it completes", lambda: f.c.events("wl_1") == ["start", "complete"])
        assert f.c.reports[-1]["result"] == 3
        assert f.c.sequences == [1, 2, 3]
        assert [json.loads(data) for _, data in f.c.puts] == [{"at": 1}, {"at": 2}, {"at": 3}]
        await f.until("the inventory is empty", lambda: not f.c.beat["inventory"])

    f = Fixture(Coordinator())
    f.run(test)
    assert f.c.ended == [{"worker_id": "w1", "session_id": f.c.session}]
    numbers = [b["number"] for b in f.c.beats]
    assert numbers == sorted(set(numbers)), "each heartbeat has a number of its own"
    assert f.c.beat["draining"], "the coordinator knows of the end before"


def test_assignment_that_comes_again_runs_once() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate")
        f.c.assign("gate")
        await f.until("it runs", lambda: f.seen)
        f.c.assign("gate")
        f.gates["wl_1/1"].set()
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))
        f.c.assign("gate")  # late
        await asyncio.sleep(0.2)
        assert f.seen == ["wl_1/1 begins"] and f.c.events("wl_1") == ["start", "complete"]

    Fixture(Coordinator()).run(test)


def test_assignment_at_a_higher_generation_stops_the_older_run_without_a_report() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate")
        await f.until("it runs", lambda: f.seen)
        f.c.assign("gate", generation=2)
        await f.until("the older one stops", lambda: "wl_1/1 Fenced" in f.seen and "wl_1/2 begins" in f.seen)
        f.gates["wl_1/2"].set()
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))
        ends = [(r["generation"], r["event"]) for r in f.c.reports if r["event"] in ("complete", "fail", "paused")]
        assert ends == [(2, "complete")]
        f.c.assign("gate", generation=1)  # late
        await asyncio.sleep(0.2)
        assert "wl_1/1 begins" not in f.seen[1:]

    Fixture(Coordinator()).run(test)


def test_assignment_that_cannot_be_taken_is_declined() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate", "wl_1")
        f.c.assign("gate", "wl_2")
        f.c.assign("gate", "wl_3")
        f.c.assign("unknown", "wl_4")
        await f.until("both are declined", lambda: f.c.events("wl_3") == f.c.events("wl_4") == ["decline"])
        reasons = {r["workload_id"]: r["reason"] for r in f.c.reports if r["event"] == "decline"}
        assert reasons == {"wl_3": "worker is full", "wl_4": "worker does not offer type unknown"}
        f.c.command("worker.drain", workload="", generation=0)
        for w in ("wl_1", "wl_2"):
            await f.until("what runs is released", lambda: f.c.events(w)[-1:] == ["release"])
        await f.until("heartbeats say so", lambda: f.c.beat.get("drained") and not f.c.beat["draining"])
        f.c.assign("gate", "wl_5")
        await f.until("it is declined", lambda: f.c.events("wl_5") == ["decline"])
        f.c.command("worker.undrain", workload="", generation=0)
        f.c.assign("noop", "wl_6")
        await f.until("it is taken", lambda: f.c.events("wl_6") == ["start", "complete"])

    Fixture(Coordinator()).run(test)


def test_command_for_another_session_or_generation_changes_nothing() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate", session="sess_other")
        f.c.assign("gate", "wl_2")
        await f.until("it runs", lambda: f.seen)
        f.c.command("workload.cancel", "wl_2", generation=2)
        f.c.command("workload.cancel", "wl_2", session="sess_other")
        f.c.command("workload.dance", "wl_2")
        await asyncio.sleep(0.2)
        assert f.seen == ["wl_2/1 begins"] and not f.c.events("wl_1")

    Fixture(Coordinator()).run(test)


def test_cancel_stops_the_run_and_frees_the_slot() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate")
        # A start that is not sent by then is dropped.
        await f.until("it runs", lambda: f.seen and f.c.events("wl_1") == ["start"])
        f.c.command("workload.cancel")
        await f.until("it is told", lambda: f.c.events("wl_1") == ["start", "release"])
        assert "wl_1/1 Cancelled" in f.seen
        await f.until("its slot is free", lambda: f.c.beat["free_slots"] == 2)

    Fixture(Coordinator()).run(test)


def test_pause_saves_first_and_is_then_reported() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("steps")
        await f.until("it saves", lambda: f.c.puts)
        f.c.command("workload.pause")
        await f.until("it is paused", lambda: "paused" in f.c.events("wl_1"))
        count = len(f.c.puts)
        await asyncio.sleep(0.1)
        assert len(f.c.puts) == count, "nothing follows"

    Fixture(Coordinator()).run(test)


def test_pause_while_a_checkpoint_is_under_way_waits_for_it() -> None:
    async def test(f: Fixture) -> None:
        begun, told = threading.Event(), threading.Event()

        async def slow(request: httpx.Request, message: Any) -> None:
            begun.set()
            while not told.is_set() or f.c.waiting:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)

        f.c.script["PUT"] = slow
        f.c.assign("steps")
        await f.until("it saves", begun.is_set)
        f.c.command("workload.pause")
        told.set()
        await f.until("it is paused", lambda: "paused" in f.c.events("wl_1"))
        assert len(f.c.puts) == 1, "the checkpoint that was under way is durable, and no other follows"

    Fixture(Coordinator()).run(test)


def test_snapshot_is_taken_when_the_platform_wants_one() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate", checkpoint_interval_ms=50)
        await f.until("it runs", lambda: f.tasks)
        task = f.tasks["wl_1"]
        await f.until("it is asked for one", lambda: task.checkpoint_wanted)
        task.on_checkpoint(lambda: State(7))
        await f.until("it is saved", lambda: f.c.puts)
        f.c.command("workload.checkpoint")
        f.c.command("workload.preempt", reason="wl_9 needs the place")
        await f.until("it makes room", lambda: f.c.events("wl_1")[-1:] == ["release"])
        last = f.c.reports[-1]
        assert (last["reason"], last["retry_after_ms"]) == ("wl_9 needs the place", 5000)
        assert json.loads(f.c.puts[-1][1]) == {"at": 7}

    Fixture(Coordinator()).run(test)


def test_snapshot_is_taken_again_when_the_handler_saves_meanwhile() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate")
        await f.until("it runs", lambda: f.tasks)
        task = f.tasks["wl_1"]
        asked = 0

        def state() -> State:
            nonlocal asked
            asked += 1
            if asked > 1:
                return State(61)
            task._save(State(60), 60, "")  # as if the handler did it in the moment after this one
            return State(59)

        task.on_checkpoint(state)
        f.c.command("workload.pause")
        await f.until("it is paused", lambda: "paused" in f.c.events("wl_1"))
        assert [json.loads(body)["at"] for _, body in f.c.puts] == [60, 61], "none is older than the one before"

    Fixture(Coordinator()).run(test)


def test_preempt_when_nothing_can_be_saved_goes_on() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate")
        await f.until("it runs", lambda: f.seen)
        f.c.command("workload.preempt")
        await asyncio.sleep(0.2)
        assert f.seen == ["wl_1/1 begins"]
        f.gates["wl_1/1"].set()
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))

    Fixture(Coordinator()).run(test)


def test_report_whose_answer_is_lost_is_sent_again_as_it_was() -> None:
    async def test(f: Fixture) -> None:
        lost: list[list[dict[str, Any]]] = []

        async def lose(request: httpx.Request, message: Any) -> None:
            if len(lost) < 3:
                lost.append(message["reports"])
                raise httpx.ReadError("cut")

        f.c.script["report"] = lose
        f.c.assign("noop")
        await f.until("it completes", lambda: f.c.events("wl_1") == ["start", "complete"])
        known = {r["report_id"]: r for batch in lost for r in batch}
        assert known.items() <= {r["report_id"]: r for r in f.c.reports}.items()

    Fixture(Coordinator()).run(test)


def test_checkpoint_whose_answer_is_lost_is_sent_again_with_the_same_bytes() -> None:
    async def test(f: Fixture) -> None:
        tries: list[tuple[str, bytes]] = []

        async def lose(request: httpx.Request, message: Any) -> httpx.Response | None:
            tries.append((str(request.url), request.content))
            if len(tries) == 1:
                raise httpx.ReadError("cut")
            return error(503, "SERVICE_UNAVAILABLE") if len(tries) == 2 else None

        f.c.script["PUT"] = lose
        f.c.assign("steps", input_params={"to": 1})
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))
        assert len(tries) == 3 and len(set(tries)) == 1

    Fixture(Coordinator()).run(test)


def test_checkpoint_waits_until_the_start_is_answered() -> None:
    async def test(f: Fixture) -> None:
        open_gate = threading.Event()

        async def hold(request: httpx.Request, message: Any) -> None:
            while not open_gate.is_set():
                await asyncio.sleep(0.01)

        f.c.script["report"] = hold
        f.c.assign("steps", input_params={"to": 1})
        await asyncio.sleep(0.3)
        assert not f.c.puts
        open_gate.set()
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))

    Fixture(Coordinator()).run(test)


@pytest.mark.parametrize("outcome", ["fenced", "not_found"])
def test_start_that_is_fenced_stops_the_run(outcome: str) -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate")
        await f.until("it lets go", lambda: f.c.events("wl_1") == ["start", "release"])
        assert not f.seen or f.seen[-1] == "wl_1/1 Fenced"

    c = Coordinator()
    c.outcomes["start"] = outcome
    Fixture(c).run(test)


def test_checkpoint_that_is_fenced_stops_the_run() -> None:
    async def test(f: Fixture) -> None:
        async def fenced(request: httpx.Request, message: Any) -> httpx.Response:
            await f.until("its start is reported", lambda: f.c.events("wl_1") == ["start"])
            return httpx.Response(200, json={"outcome": "fenced", "status": "CANCELLED"})

        f.c.script["PUT"] = fenced
        f.c.assign("steps")
        await f.until("it lets go", lambda: f.c.events("wl_1") == ["start", "release"])

    Fixture(Coordinator()).run(test)


def test_session_that_is_over_stops_its_runs_and_another_begins() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("gate")
        await f.until("it runs", lambda: f.seen)
        first = f.c.session

        async def over(request: httpx.Request, message: Any) -> httpx.Response | None:
            return error(409, "FENCED") if message["session_id"] == first else None

        f.c.script["heartbeat"] = over
        await f.until("another session begins", lambda: len(f.c.sessions) == 2)
        assert f.c.sessions[1]["previous_session_id"] == first
        assert f.c.sessions[1]["process_id"] == f.c.sessions[0]["process_id"]
        assert "previous_session_id" not in f.c.sessions[0]
        await f.until("its run stops", lambda: "wl_1/1 LeaseLost" in f.seen)
        assert not {"complete", "fail", "paused"} & set(f.c.events("wl_1"))

    Fixture(Coordinator()).run(test)


def test_silent_coordinator_fences_the_worker_before_its_lease_is_over() -> None:
    took = 0.0

    async def test(f: Fixture) -> None:
        nonlocal took
        f.c.assign("gate")
        await f.until("it runs", lambda: f.seen)
        silent = threading.Event()

        async def nothing(request: httpx.Request, message: Any) -> None:
            if silent.is_set():
                await asyncio.sleep(60)

        for name in ("heartbeat", "report", "poll", "register"):
            f.c.script[name] = nothing
        await asyncio.sleep(0.2)
        began = time.monotonic()
        silent.set()
        await f.until("its run stops", lambda: "wl_1/1 LeaseLost" in f.seen)
        took = time.monotonic() - began
        with pytest.raises(LeaseLost):
            f.tasks["wl_1"].check()
        silent.clear()

    for _ in range(10):
        f = Fixture(Coordinator(lease=2))
        with Stalls() as stalls:
            f.run(test)
        assert took - stalls.seconds < f.c.lease * 0.9
        if took > f.c.lease * 0.5:
            return
        assert stalls.seconds > 0.1, f"after {took:.2f} s"  # otherwise it lost its lease before
    raise AssertionError("the machine stands still too often")


def test_heartbeat_that_is_not_answered_is_sent_beside_over_a_new_connection() -> None:
    async def test(f: Fixture) -> None:
        held: list[float] = []

        async def hold(request: httpx.Request, message: Any) -> None:
            if len(held) < 3:
                held.append(time.monotonic())
                await asyncio.sleep(60)

        await f.until("it beats", lambda: f.c.beats)
        before, last = f.c.connections, f.c.beat["number"]
        with Stalls() as stalls:
            f.c.script["heartbeat"] = hold
            await f.until("another try is answered", lambda: len(held) == 3 and f.c.beat["number"] > last)
        late = stalls.seconds
        for k in (0, 1):
            assert 0.9 - late < held[k + 1] - held[k] < 1.6 + late, "one more each second"
        assert f.c.connections >= before + 2
        assert len(f.c.sessions) == 1

    Fixture(Coordinator()).run(test)


def test_coordinator_that_is_gone_does_not_matter_while_another_answers() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("steps", input_params={"to": 3})
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))
        assert hosts["a"] < hosts["b"], "the one that fails comes last"

    c = Coordinator()
    hosts = {"a": 0, "b": 0}

    async def choose(request: httpx.Request, message: Any) -> None:
        hosts[request.url.host] += 1
        if request.url.host == "a":
            raise httpx.ConnectError("refused")

    for name in ("register", "heartbeat", "poll", "report", "PUT"):
        c.script[name] = choose
    f = Fixture(c)
    f.worker._url = "http://a,http://b"
    f.run(test)


def test_worker_id_that_another_process_holds_is_tried_for_one_lease() -> None:
    c = Coordinator()
    tries: list[float] = []

    async def taken(request: httpx.Request, message: Any) -> httpx.Response:
        tries.append(time.monotonic())
        return error(409, "CONFLICT", lease_ms=500, heartbeat_interval_ms=100, lease_left_ms=400)

    c.script["register"] = taken
    with Stalls() as stalls, pytest.raises(ApiError) as raised:
        asyncio.run(asyncio.wait_for(Fixture(c).worker.run(), 60))
    assert raised.value.code == "CONFLICT" and 0.5 <= tries[-1] - tries[0] < 2 + stalls.seconds
    assert len(tries) > 4 - 10 * stalls.seconds, "one each 0.1 s"


def test_registration_without_an_answer_asks_for_the_same_session_again() -> None:
    c = Coordinator()
    asked: list[str] = []

    async def unanswered(request: httpx.Request, message: Any) -> httpx.Response | None:
        asked.append(message["session_id"])
        away, over = error(503, "SERVICE_UNAVAILABLE"), error(409, "FENCED")
        answers = [away, over, away, over, away]
        return answers[len(asked) - 1] if len(asked) <= len(answers) else None

    async def test(f: Fixture) -> None:
        await f.until("it registers", lambda: f.c.sessions)

    c.script["register"] = unanswered
    Fixture(c).run(test)
    assert len(asked) == 6 and len(set(asked)) == 3
    assert asked[::2] == asked[1::2], "each is asked for until it is answered"


def test_key_that_is_refused_ends_the_worker() -> None:
    c = Coordinator()

    async def refuse(request: httpx.Request, message: Any) -> httpx.Response:
        return error(401, "UNAUTHORIZED")

    c.script["register"] = refuse
    with pytest.raises(ApiError):
        asyncio.run(asyncio.wait_for(Fixture(c).worker.run(), 60))


def test_restored_state_is_that_of_the_checkpoint() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("steps", generation=3, checkpoint_sequence=4, input_params={"to": 6})
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))
        assert f.c.sequences == [5, 6]
        f.c.assign("steps", "wl_2", generation=2, checkpoint_sequence=9, input_params={"to": 1})  # none is left
        await f.until("it completes", lambda: "complete" in f.c.events("wl_2"))
        assert "/checkpoints/10?" in f.c.puts[-1][0] and json.loads(f.c.puts[-1][1]) == {"at": 1}

    c = Coordinator()
    c.saved["4"] = b'{"at": 4}'
    Fixture(c).run(test)


def test_run_that_waits_for_its_checkpoint_ends_at_its_timeout() -> None:
    """Otherwise it would hold its slot for as long as no coordinator gives it one."""
    async def test(f: Fixture) -> None:
        f.c.assign("steps", checkpoint_sequence=4, timeout_ms=300)
        await f.until("it fails", lambda: "fail" in f.c.events("wl_1"))
        assert f.c.reports[-1]["failure"] == {"type": "timeout", "message": "timed out after 0.3 s"}
        await f.until("its slot is free", lambda: f.c.beat["free_slots"] == 2)
        assert (asked or stalls.seconds > 0.1) and f.c.sequences == [], "it did not begin"

    async def never(request: httpx.Request, message: Any) -> httpx.Response | None:
        asked.append(request.url.path)
        await asyncio.sleep(20 if len(asked) == 1 else 0)
        return httpx.Response(502)

    asked: list[str] = []
    c = Coordinator()
    c.script["GET"] = never
    with Stalls() as stalls:
        Fixture(c).run(test)


def test_run_that_was_assigned_before_begins_once_its_start_is_known() -> None:
    """Its code may be what ended the worker before, and the next death must count against it."""
    async def test(f: Fixture) -> None:
        async def down(request: httpx.Request, message: Any) -> httpx.Response | None:
            tries.append(list(f.seen))
            return httpx.Response(502) if len(tries) < 3 else None

        tries: list[list[str]] = []
        f.c.script["report"] = down
        f.c.assign("gate", generation=2)
        await f.until("it begins", lambda: f.seen)
        assert len(tries) >= 3 and not any(tries[:3]), "no coordinator had answered"
        f.gates["wl_1/2"].set()
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))

    Fixture(Coordinator()).run(test)


def test_many_outcomes_need_few_requests() -> None:
    async def test(f: Fixture) -> None:
        async def slow(request: httpx.Request, message: Any) -> None:
            await asyncio.sleep(0.1)  # as over a network: reports gather meanwhile

        f.c.script["report"] = slow
        for i in range(500):
            f.c.assign("noop", f"wl_{i}")
        await f.until("all complete", lambda: sum(r["event"] == "complete" for r in f.c.reports) == 500)
        assert len(f.c.batches) < 100

    Fixture(Coordinator(), slots=500).run(test)


def test_report_that_is_refused_does_not_delay_the_others() -> None:
    async def test(f: Fixture) -> None:
        async def refuse(request: httpx.Request, message: Any) -> httpx.Response | None:
            bad = any(r["workload_id"] == "wl_3" and r["event"] == "complete" for r in message["reports"])
            return error(413, "TOO_LARGE") if bad else None

        f.c.script["report"] = refuse
        for i in range(10):
            f.c.assign("noop", f"wl_{i}")
        await f.until("the others complete", lambda: sum(r["event"] == "complete" for r in f.c.reports) == 9)
        await f.until("it is not held on to", lambda: not f.c.beat["inventory"])

    Fixture(Coordinator(), slots=20).run(test)


def test_lines_go_before_the_outcome_and_a_flood_keeps_the_newest() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("flood")
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))
        lines = [line for r in f.c.reports if r["workload_id"] == "wl_1" for line in r.get("lines", [])]
        assert lines[-1]["message"] == "line 11999" and lines[-1]["details"] == {"n": 11999, "logger": "flood"}
        numbers = [line["details"]["n"] for line in lines if "details" in line]
        assert numbers == sorted(numbers)
        dropped = sum(int(line["message"].split()[0]) for line in lines if "dropped" in line["message"])
        assert dropped + len(numbers) == 12_000
        assert all(len(r.get("lines", [])) <= 1000 for r in f.c.reports)
        last = f.c.reports.index(next(r for r in f.c.reports if r["event"] == "complete"))
        assert all(r["event"] != "log" for r in f.c.reports[last + 1:])

    f = Fixture(Coordinator())
    flood_logger = logging.getLogger("flood")
    flood_logger.setLevel(logging.INFO)
    flood_logger.propagate = True

    @f.worker.workload("flood")
    def flood(task: SyncTask[Any, None]) -> None:
        for n in range(12_000):
            flood_logger.info("line %d", n, extra={"n": n})

    f.run(test)


def test_what_is_collected_while_a_handler_runs_is_not_in_its_log() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("collects")
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))
        lines = [line["message"] for r in f.c.reports for line in r.get("lines", [])]
        assert lines == ["its own"]

    async def fail() -> None:
        raise ValueError("of another customer")

    f = Fixture(Coordinator())

    @f.worker.workload("collects")
    def collects(task: SyncTask[Any, None]) -> None:
        loop = asyncio.new_event_loop()
        other = loop.create_task(fail())
        loop.run_until_complete(asyncio.wait([other]))
        loop.close()
        del other
        gc.collect()  # asyncio tells now that nobody asked for the exception
        logging.getLogger("mine").error("its own")

    f.run(test)


def test_handler_that_ignores_its_end_keeps_its_slot_and_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("niyanta._run.STOP_GRACE", 0.2)
    let_go = threading.Event()

    async def test(f: Fixture) -> None:
        f.c.assign("deaf")
        await f.until("it runs", lambda: f.c.events("wl_1") == ["start"])
        f.c.command("workload.cancel")
        await f.until("heartbeats say so", lambda: any(i.get("stuck") for b in f.c.beats for i in b["inventory"]))
        assert f.c.beat["free_slots"] == 1
        await asyncio.sleep(0.2)
        assert sum(bool(i.get("stuck")) for b in f.c.beats for i in b["inventory"]) == 1, "once"
        let_go.set()
        await f.until("its slot is free", lambda: f.c.beat["free_slots"] == 2)

    f = Fixture(Coordinator())

    @f.worker.workload("deaf")
    def deaf(task: SyncTask[Any, None]) -> None:
        let_go.wait(100)

    f.run(test)


def test_run_that_gets_no_thread_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    start, refused = threading.Thread.start, ["wl_1"]

    def no_thread(thread: threading.Thread) -> None:
        if thread.name.removeprefix("niyanta ") in refused:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_thread)

    async def test(f: Fixture) -> None:
        f.c.assign("thread", "wl_1")
        await f.until("the run fails", lambda: f.c.events("wl_1") == ["start", "fail"])
        failure = f.c.reports[-1]["failure"]
        assert failure["type"] == "resources" and not failure["permanent"]
        assert failure["message"] == "the run could not be started: can't start new thread"
        f.c.assign("thread", "wl_2")
        await f.until("the next one completes", lambda: f.c.events("wl_2") == ["start", "complete"])

    f = Fixture(Coordinator(), slots=1)

    @f.worker.workload("thread")
    def in_thread(task: SyncTask[Any, None]) -> None:
        return None

    f.run(test)


def test_drain_saves_and_releases_then_leaves() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("steps")
        await f.until("it saves", lambda: f.c.puts)

    f = Fixture(Coordinator())
    f.run(test)
    assert f.c.events("wl_1") == ["start", "release"] and f.c.ended
    release = next(r for r in f.c.reports if r["event"] == "release")
    assert release["reason"] == "worker drained"


def test_drain_that_takes_too_long_says_which_run_does_not_stop() -> None:
    let_go = threading.Event()

    async def test(f: Fixture) -> None:
        f.c.assign("deaf")
        await f.until("it runs", lambda: f.c.events("wl_1") == ["start"])

    f = Fixture(Coordinator())
    f.worker._drain_timeout = 0.5

    @f.worker.workload("deaf")
    def deaf(task: SyncTask[Any, None]) -> None:
        let_go.wait(100)

    with pytest.raises(WorkerError, match="wl_1"):
        f.run(test)
    assert not f.c.ended, "the session is not ended while something runs"
    let_go.set()


def test_task_groups_and_timeouts_end_with_the_run() -> None:
    ends: list[str] = []

    async def test(f: Fixture) -> None:
        f.c.assign("group")
        await f.until("it runs", lambda: ends)
        f.c.command("workload.pause")
        await f.until("it is paused", lambda: "paused" in f.c.events("wl_1"))
        assert ends == ["begun", "child CancelledError", "group Paused"]
        f.c.assign("limit", "wl_2")
        await f.until("its own timeout is its own", lambda: "complete" in f.c.events("wl_2"))

    f = Fixture(Coordinator())

    @f.worker.workload("group")
    async def group(task: Task[Any, None]) -> None:
        async def child() -> None:
            try:
                await asyncio.sleep(60)
            except BaseException as e:
                ends.append(f"child {type(e).__name__}")
                raise

        try:
            async with asyncio.TaskGroup() as g:
                g.create_task(child())
                await asyncio.sleep(0.05)
                ends.append("begun")
                await asyncio.sleep(60)
        except* Paused:
            ends.append("group Paused")
            raise

    @f.worker.workload("limit")
    async def limit(task: Task[Any, None]) -> str:
        try:
            async with asyncio.timeout(0.05):
                await asyncio.sleep(60)
        except TimeoutError:
            return "mine"
        return "none"

    f.run(test)


def test_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("cancels")
        await f.until("it fails", lambda: "fail" in f.c.events("wl_1"))

    f = Fixture(Coordinator())

    @f.worker.workload("cancels")
    async def cancels(task: Task[Any, None]) -> None:
        raise asyncio.CancelledError

    f.run(test)


def test_sync_task_sleep_ends_when_the_run_stops() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("sleeps")
        await f.until("it runs", lambda: f.c.events("wl_1") == ["start"])
        began = time.monotonic()
        f.c.command("workload.pause")
        await f.until("it is paused", lambda: "paused" in f.c.events("wl_1"))
        assert time.monotonic() - began < 50

    f = Fixture(Coordinator())

    @f.worker.workload("sleeps")
    def sleeps(task: SyncTask[Any, None]) -> None:
        task.sleep(60)

    f.run(test)


def test_registration_of_a_bad_handler_is_refused() -> None:
    w = Worker("http://a", "key")
    with pytest.raises(ValueError, match="a letter or digit"):
        w.workload("a b")(typed)
    w.workload("a")(typed)
    with pytest.raises(ValueError, match="twice"):
        w.workload("a")(typed)
    with pytest.raises(ValueError, match="slots"):
        Worker("http://a", "key", slots=0)

    @w.workload("local", isolate=True)
    def local(task: SyncTask[Any, None]) -> None: ...

    with pytest.raises(ValueError, match="import"):
        asyncio.run(w.run())


@dataclass
class Nested:
    names: list[str]
    inner: State | None = None


async def typed(task: Task[Nested, State]) -> None: ...


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"names": ["a"], "inner": {"at": 1}, "more": 1}, ""), ({"names": "a"}, "input_params.names"),
        ({"names": [1]}, r"input_params.names\[0\]"), ({}, "input_params.names: is missing"),
        ({"names": [], "inner": {"at": True}}, "input_params.inner.at"),
    ],
)
def test_input_of_another_type_fails_for_good(value: Any, wrong: str) -> None:
    a = Assignment("wl_1", "c", "t", 1, input_params=value)
    link: Any = None
    if not wrong:
        assert Handler("t", typed).make_task(link, a, None).input == Nested(["a"], State(1))
        return
    with pytest.raises(RunError, match=wrong) as raised:
        Handler("t", typed).make_task(link, a, None)
    assert raised.value.permanent


def test_fenced_is_a_cancellation_that_except_exception_does_not_swallow() -> None:
    assert not issubclass(Fenced, Exception) and issubclass(Fenced, asyncio.CancelledError)
