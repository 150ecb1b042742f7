"""The rules of retry, paging and waiting, with a scripted coordinator in place of the network."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import httpx
import pytest

import niyanta
from niyanta import AsyncClient, Client, Status, Submission, aio, client, errors
from niyanta._core import ANSWER_TIMEOUT, Answer, Core, EventStream, Item, NoAnswer, ReadLine, Route, Send, Sleep
from niyanta import _operations as operations

WORKLOAD: dict[str, Any] = {
    "workload_id": "wl_1", "customer_id": "cust_dev", "workload_type": "count", "retry_of": None, "status": "RUNNING",
    "status_reason": None, "priority": 10, "labels": {}, "affinity_rules": {}, "generation": 1, "worker_id": "w1",
    "last_worker_id": "w1", "progress_percent": 40, "progress_message": "4 of 10", "checkpoint_sequence": 2,
    "retry_count": 0, "max_retries": 5, "redistribution_count": 0, "input_params": {"to": 10}, "result_data": None,
    "error_message": None, "error_type": None, "created_at": "2026-01-02T03:05:00.006Z", "run_at": None,
    "scheduled_at": None, "started_at": None, "completed_at": None, "updated_at": "2026-01-02T03:05:00.006Z",
    "estimated_completion_time": None, "a_field_of_a_newer_version": 1,
}
SUBMITTED = {
    "workload_id": "wl_1", "status": "PENDING", "created_at": "2026-01-02T03:05:00.006Z", "estimated_start_time": None,
}
CONTROL = {"workload_id": "wl_1", "status": "CANCELLED", "checkpoint_sequence": 0}


def ok(body: Any, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode() if body is not None else b"")


def refused(status: int, code: str, details: dict[str, Any] | None = None, **headers: str) -> Answer:
    body = {"error": {"code": code, "message": "no", "details": details or {}, "request_id": "req_1"}}
    return Answer(status, {k.replace("_", "-"): v for k, v in headers.items()}, json.dumps(body).encode())


lost = NoAnswer(httpx.ReadTimeout("silence"), acted=True)
unconnected = NoAnswer(httpx.ConnectError("refused"), acted=False)


class Script:
    """Performs the effects of an operation with scripted results and a clock of its own."""

    def __init__(self, *results: Any, urls: str = "http://a", retry_for: float = 30) -> None:
        self.results, self.now = list(results), 0.0
        self.sent: list[Send] = []
        self.slept: list[float] = []
        self.items: list[Any] = []
        self.core = Core(Route(urls.split(",")), retry_for, clock=lambda: self.now, random=lambda: 0.5)

    def run(self, effects: Any) -> Any:
        result: Any = None
        while True:
            try:
                effect = effects.send(result)
            except StopIteration as stop:
                return stop.value
            result = None
            if isinstance(effect, Sleep):
                self.slept.append(effect.seconds)
                self.now += effect.seconds
            elif isinstance(effect, Item):
                self.items.append(effect.item)
            elif isinstance(effect, ReadLine):
                assert isinstance(effect.stream, Lines)
                result = effect.stream.lines.pop(0) if effect.stream.lines else None
            else:
                self.sent.append(effect)
                assert self.results, f"unexpected {effect.request.method} {effect.request.path}"
                result = self.results.pop(0)


@dataclass
class Lines(EventStream):
    """A stream that brings these lines, then breaks."""

    lines: list[str]


def event(number: int, **more: Any) -> list[str]:
    e = {"type": "status_update", "event_id": f"e{number}", "workload_id": "wl_1", "status": "RUNNING", **more}
    return ["retry: 1000", "", f"id: e{number}", "event: x", "data: " + json.dumps(e), ""]


@pytest.mark.parametrize(
    "failure", [lost, unconnected, refused(429, "RATE_LIMITED"), refused(503, "SERVICE_UNAVAILABLE")]
)
def test_submit_when_a_try_fails_is_repeated_with_the_same_key(failure: Any) -> None:
    s = Script(failure, failure, ok(SUBMITTED, 202))
    assert s.run(operations.submit(s.core, "count", {"to": 3})).workload_id == "wl_1"
    assert len({x.request.headers["Idempotency-Key"] for x in s.sent}) == 1
    assert s.slept[0] < s.slept[1], "pauses grow"


def test_submit_twice_has_two_keys_and_a_given_key_stays() -> None:
    s = Script(ok(SUBMITTED), ok(SUBMITTED), ok(SUBMITTED))
    for key in (None, None, "mine"):
        s.run(operations.submit(s.core, "count", {}, idempotency_key=key))
    keys = [x.request.headers["Idempotency-Key"] for x in s.sent]
    assert keys[0] != keys[1] and keys[2] == "mine"


def test_cancel_is_repeated_with_the_same_key() -> None:
    s = Script(lost, ok(CONTROL))
    s.run(operations.cancel(s.core, "wl_1", reason="why"))
    assert len({x.request.headers["Idempotency-Key"] for x in s.sent}) == 1


def test_pause_when_it_may_have_been_served_is_not_repeated() -> None:
    s = Script(lost)
    with pytest.raises(errors.Unavailable):
        s.run(operations.pause(s.core, "wl_1"))
    full = refused(503, "SERVICE_UNAVAILABLE", {"max_queue_depth": 1})
    for harmless in (unconnected, refused(429, "RATE_LIMITED"), full):
        s = Script(harmless, ok(CONTROL))
        s.run(operations.pause(s.core, "wl_1"))
        assert len(s.sent) == 2, "nothing was done, so it may be repeated"


def test_pause_when_the_coordinator_is_not_ready_is_not_repeated() -> None:
    s = Script(refused(503, "SERVICE_UNAVAILABLE"))
    with pytest.raises(errors.Unavailable):
        s.run(operations.pause(s.core, "wl_1"))


def test_call_waits_as_long_as_the_answer_asks_for() -> None:
    s = Script(refused(429, "RATE_LIMITED", retry_after="7"), ok(WORKLOAD))
    s.run(operations.get(s.core, "wl_1"))
    assert 7 <= s.slept[0] < 8


def test_call_when_the_pause_would_end_too_late_raises_at_once() -> None:
    s = Script(refused(429, "RATE_LIMITED", {"limit": 5}, retry_after="60"))
    with pytest.raises(errors.RateLimited) as raised:
        s.run(operations.get(s.core, "wl_1"))
    assert raised.value.retry_after == 60 and not s.slept and raised.value.details["limit"] == 5


def test_call_when_a_coordinator_is_gone_asks_the_next_one_and_stays_with_it() -> None:
    s = Script(unconnected, ok(WORKLOAD), ok(WORKLOAD), urls="http://a,http://b")
    s.run(operations.get(s.core, "wl_1"))
    s.run(operations.get(s.core, "wl_1"))
    assert [x.base for x in s.sent] == ["http://a", "http://b", "http://b"] and not s.slept


@pytest.mark.parametrize("failed", [
    refused(503, "SERVICE_UNAVAILABLE"), lost, NoAnswer(httpx.ConnectError("CERTIFICATE_VERIFY_FAILED"), False, False),
])
def test_call_that_is_not_sent_again_leaves_a_coordinator_that_cannot_serve_it(failed: Any) -> None:
    s = Script(failed, ok(CONTROL), urls="http://a,http://b")
    with pytest.raises(errors.Unavailable):
        s.run(operations.pause(s.core, "wl_1"))
    s.run(operations.pause(s.core, "wl_1"))
    assert [x.base for x in s.sent] == ["http://a", "http://b"]


def test_call_when_all_are_gone_pauses_and_gives_up_in_time() -> None:
    s = Script(*[unconnected] * 200, urls="http://a,http://b", retry_for=10)
    with pytest.raises(errors.Unavailable) as raised:
        s.run(operations.get(s.core, "wl_1"))
    assert 7 < s.now <= 10 and "does not answer" in str(raised.value)
    assert len(s.sent) == 2 * (len(s.slept) + 1), "both are asked between two pauses"


def test_call_with_retry_for_0_tries_every_coordinator_once() -> None:
    s = Script(unconnected, unconnected, urls="http://a,http://b", retry_for=0)
    with pytest.raises(errors.Unavailable):
        s.run(operations.get(s.core, "wl_1"))
    assert len(s.sent) == 2


def test_call_when_the_certificate_is_not_trusted_is_not_repeated() -> None:
    s = Script(NoAnswer(httpx.ConnectError("CERTIFICATE_VERIFY_FAILED"), acted=False, again=False))
    with pytest.raises(errors.Unavailable):
        s.run(operations.get(s.core, "wl_1"))


def test_call_waits_twice_as_long_for_each_further_answer() -> None:
    s = Script(lost, lost, lost, ok(WORKLOAD))
    s.run(operations.get(s.core, "wl_1"))
    assert [x.timeout for x in s.sent] == [ANSWER_TIMEOUT * f for f in (1, 2, 4, 8)]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "INVALID_INPUT", errors.InvalidInput), (400, "INVALID_STATE", errors.InvalidState),
        (401, "UNAUTHORIZED", errors.Unauthorized), (403, "FORBIDDEN", errors.Forbidden),
        (404, "NOT_FOUND", errors.NotFound), (405, "METHOD_NOT_ALLOWED", errors.MethodNotAllowed),
        (409, "CONFLICT", errors.Conflict), (413, "TOO_LARGE", errors.TooLarge),
        (500, "INTERNAL_ERROR", errors.InternalError),
    ],
)
def test_refusal_has_the_class_of_its_code(status: int, code: str, kind: type[errors.ApiError]) -> None:
    s = Script(refused(status, code, {"field": "input_params"}))
    with pytest.raises(kind) as raised:
        s.run(operations.get(s.core, "wl_1"))
    e = raised.value
    assert (e.code, e.status, e.field, e.request_id) == (code, status, "input_params", "req_1")
    assert code in str(e) and "req_1" in str(e) and e.advice in str(e), "it says what to do"


def test_refusal_of_an_unknown_code_keeps_it() -> None:
    s = Script(refused(418, "TEAPOT"))
    with pytest.raises(errors.ApiError) as raised:
        s.run(operations.get(s.core, "wl_1"))
    assert raised.value.code == "TEAPOT"


def test_get_ignores_what_it_does_not_know() -> None:
    s = Script(ok({**WORKLOAD, "status": "HIBERNATING"}))
    w = s.run(operations.get(s.core, "wl_1"))
    assert w.status == "HIBERNATING" and not w.is_final
    assert w.created_at == datetime(2026, 1, 2, 3, 5, 0, 6000, timezone.utc)
    assert "40 %" in repr(w) and "4 of 10" in repr(w)


def test_wait_repeats_long_polls_until_final() -> None:
    s = Script(ok(WORKLOAD), lost, ok({**WORKLOAD, "status": "COMPLETED", "result_data": {"n": 3}}))
    w = s.run(operations.wait_for_completion(s.core, "wl_1"))
    assert w.result() == {"n": 3}
    assert all(x.request.query == (("wait", "30000ms"),) and x.timeout > 30 for x in s.sent)


def test_wait_when_the_time_is_over_says_so() -> None:
    s = Script(ok(WORKLOAD), ok(WORKLOAD))
    effects = operations.wait_for_completion(s.core, "wl_1", timeout=45)
    first = effects.send(None)
    assert isinstance(first, Send) and first.request.query == (("wait", "30000ms"),)
    s.now = 30
    second = effects.send(ok(WORKLOAD))
    assert isinstance(second, Send) and second.request.query == (("wait", "15000ms"),)
    s.now = 45
    with pytest.raises(errors.WaitTimeout) as raised:
        effects.send(ok(WORKLOAD))
    assert raised.value.workload.status == Status.RUNNING


def test_list_yields_all_pages() -> None:
    pages = [
        {"workloads": [WORKLOAD, WORKLOAD], "pagination": {"limit": 100, "has_more": True, "next_cursor": "c1"}},
        {"workloads": [], "pagination": {"limit": 100, "has_more": True, "next_cursor": "c2"}},
        {"workloads": [WORKLOAD], "pagination": {"limit": 100, "has_more": False, "next_cursor": None}},
    ]
    s = Script(*(ok(p) for p in pages))
    s.run(operations.list_workloads(s.core, status=[Status.RUNNING, "PAUSED"], labels={"team": "a"}))
    assert len(s.items) == 3, "an empty page may have successors"
    assert ("status", "RUNNING") in s.sent[0].request.query and ("status", "PAUSED") in s.sent[0].request.query
    assert ("label", "team=a") in s.sent[0].request.query
    assert dict(s.sent[2].request.query)["cursor"] == "c2"


def test_logs_continue_behind_the_last_line() -> None:
    def line(seq: int) -> dict[str, Any]:
        return {
            "seq": seq, "timestamp": "2026-01-02T03:05:00.006Z", "level": "INFO", "message": "m", "stream": None,
            "details": {"n": seq}, "generation": 1,
        }

    s = Script(
        ok({"workload_id": "wl_1", "logs": [line(1), line(2)], "has_more": True}),
        ok({"workload_id": "wl_1", "logs": [line(3)], "has_more": False}),
    )
    s.run(operations.logs(s.core, "wl_1", since=datetime(2026, 1, 1, tzinfo=timezone.utc)))
    assert [x.seq for x in s.items] == [1, 2, 3]
    assert ("since", "2026-01-01T00:00:00.000000Z") in s.sent[0].request.query
    assert ("after", "2") in s.sent[1].request.query and "since" not in dict(s.sent[1].request.query)


def test_watch_when_the_connection_breaks_continues_behind_the_last_event() -> None:
    cut = event(3)[:-1]  # the event is not complete
    s = Script(
        Lines([*event(1), *event(2), *cut]), lost, unconnected,
        Lines([": a comment", "", *event(3), *event(4, type="completed", status="COMPLETED")]),
    )
    s.run(operations.watch(s.core, "wl_1"))
    assert [e.event_id for e in s.items] == ["e1", "e2", "e3", "e4"], "each once"
    assert [x.request.headers.get("Last-Event-ID") for x in s.sent] == [None, "e2", "e2", "e2"]


def test_watch_when_nothing_comes_behind_the_event_ends() -> None:
    s = Script(Lines(event(1)), ok(None, 204))
    s.run(operations.watch(s.core, "wl_1"))
    assert len(s.items) == 1


def test_watch_when_a_log_line_comes_last_goes_on() -> None:
    s = Script(Lines([*event(1, type="log_line", status="COMPLETED"), *event(2, type="failed", status="FAILED")]))
    s.run(operations.watch(s.core, "wl_1"))
    assert len(s.items) == 2


@dataclass
class In:
    to: int
    note: str | None = None


def test_submit_sends_a_dataclass_and_keeps_its_nulls() -> None:
    s = Script(ok(SUBMITTED))
    s.run(operations.submit(
        s.core, "count", In(3), labels={"a": "b"}, timeout=1.2, run_at=datetime(2026, 1, 2, tzinfo=timezone.utc),
        affinity_rules=niyanta.AffinityRules(hard_affinity=niyanta.AffinityTerms(worker_id="w1")),
        resources=niyanta.Reservation(gpus=0.5, gpu_models=["A10"], custom={"licence": 1}),
    ))
    assert json.loads(s.sent[0].request.body or b"") == {
        "workload_type": "count", "input_params": {"to": 3, "note": None}, "labels": {"a": "b"}, "timeout_seconds": 2,
        "run_at": "2026-01-02T00:00:00.000000Z", "affinity_rules": {"hard_affinity": {"worker_id": "w1"}},
        "resources": {"gpus": 0.5, "gpu_models": ["A10"], "custom": {"licence": 1}},
    }


def test_submit_batch_sends_all_in_order() -> None:
    s = Script(ok({"results": [{"workload_id": "wl_1", "status": "PENDING"}, {"error": {"code": "INVALID_INPUT"}}]}))
    out = s.run(operations.submit_batch(s.core, [Submission(workload_type="a", input_params={}) for _ in range(2)]))
    assert out[0].workload_id == "wl_1" and out[1].error["code"] == "INVALID_INPUT"


def test_result_of_a_failed_workload_says_why() -> None:
    s = Script(ok({**WORKLOAD, "status": "FAILED", "error_type": "disk", "error_message": "it is full"}))
    w = s.run(operations.get(s.core, "wl_1"))
    with pytest.raises(errors.WorkloadFailed, match="disk: it is full"):
        w.result()


def test_result_that_was_kept_encoded_is_decoded() -> None:
    import base64

    kept: dict[str, Any] = {
        "encoding": "base64", "content_type": "application/json", "reason": "nul", "size": 12, "truncated": False,
        "data": base64.b64encode(b'{"to": 4}').decode(),
    }
    both = (kept, {**kept, "truncated": True})
    s = Script(*[ok({**WORKLOAD, "status": "COMPLETED", "result_data": r}) for r in both])
    assert s.run(operations.get(s.core, "wl_1")).result(In) == In(4)
    with pytest.raises(niyanta.NiyantaError, match="only the first"):
        s.run(operations.get(s.core, "wl_1")).result()


@pytest.mark.parametrize(("url", "key"), [("a:8080", "k"), ("", "k"), ("http://a,", "k"), ("http://a", "k\n")])
def test_client_with_a_bad_address_or_key_is_refused(url: str, key: str) -> None:
    with pytest.raises(ValueError):
        Client(url, key)


def operations_of(group: type) -> dict[str, str]:
    return {k: str(inspect.signature(v).parameters) for k, v in vars(group).items()
            if callable(v) and hasattr(v, "__wrapped__")}


@pytest.mark.parametrize(
    ("one", "other"),
    [(client.Client, aio.AsyncClient), (client.Workloads, aio.AsyncWorkloads), (client.Configs, aio.AsyncConfigs)],
)
def test_both_clients_have_the_same_operations(one: type, other: type) -> None:
    assert operations_of(one) == operations_of(other) and operations_of(one)


class Served:
    """Answers requests of httpx, for both clients."""

    def __init__(self, *answers: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answers, self.requests = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers.pop(0)(request)


def raising(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


STREAM = "\n".join([*event(1), *event(2, type="completed", status="COMPLETED"), ""])


def served() -> Served:
    return Served(
        raising(httpx.ConnectError("refused")),
        lambda r: httpx.Response(202, json=SUBMITTED),
        lambda r: httpx.Response(200, text=STREAM, headers={"Content-Type": "text/event-stream"}),
        lambda r: httpx.Response(404, json={"error": {"code": "NOT_FOUND", "message": "none", "request_id": "r"}}),
    )


def check(s: Served) -> None:
    assert [r.url.host for r in s.requests] == ["a", "b", "b", "b"]
    assert all(r.headers["Authorization"] == "Bearer key" for r in s.requests)
    assert s.requests[1].url.path == "/base/v1/workloads"


def test_client_speaks_http() -> None:
    s = served()
    with Client("http://a,http://b/base/", "key", http=httpx.Client(transport=httpx.MockTransport(s))) as c:
        assert c.workloads.submit("count", {}).workload_id == "wl_1"
        assert [e.event_id for e in c.workloads.watch("wl_1")] == ["e1", "e2"]
        with pytest.raises(errors.NotFound):
            c.workloads.get("wl_2")
    check(s)


def test_async_client_speaks_http() -> None:
    async def run() -> None:
        http = httpx.AsyncClient(transport=httpx.MockTransport(s))
        async with AsyncClient("http://a,http://b/base/", "key", http=http) as c:
            assert (await c.workloads.submit("count", {})).workload_id == "wl_1"
            assert [e.event_id async for e in c.workloads.watch("wl_1")] == ["e1", "e2"]
            with pytest.raises(errors.NotFound):
                await c.workloads.get("wl_2")

    s = served()
    asyncio.run(run())
    check(s)
