"""What a tenant, a handler or a server that means harm, or is only odd, does to workers and clients."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from niyanta import AsyncClient, Client, InvalidInput, NiyantaError, RunError, SyncTask, Task, Unavailable
from niyanta import _http, _operations as operations, _plane
from niyanta._core import parse_urls
from niyanta.testing import Kit
from test_client import WORKLOAD, Lines, Script, ok, refused
from test_worker import Coordinator, Fixture, error

LONE = "caf\udce9"  # the name of a file that is not UTF-8, as os.listdir returns it
MANY_DIGITS = "9" * 5000
DEEP = "[" * 100_000 + "]" * 100_000


class Unshowable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")

    __repr__ = __str__


class Unreadable:
    def __repr__(self) -> str:
        raise ValueError("no")


# Handlers.


def ends(f: Fixture, workload: str) -> list[dict[str, Any]]:
    return [r for r in f.c.reports if r["workload_id"] == workload and r["event"] in ("complete", "fail")]


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(("raised", "kind", "message"), [
    (lambda: RuntimeError(LONE), "RuntimeError", "caf\udce9"),
    (lambda: Unshowable(), "Unshowable", "<Unshowable that cannot be shown>"),
    (lambda: RuntimeError("x" * 5_000_000), "RuntimeError", None),
    (lambda: RunError("a", error_type="t" * 1_000_000, retry_after=float("nan")), None, "a"),
    (lambda: RunError("a", error_type=7, retry_after=float("inf")), "7", "a"),  # type: ignore[arg-type]
    (lambda: RunError("a", retry_after=-1), "error", "a"),
    (lambda: RunError("a", retry_after="soon"), "error", "a"),  # type: ignore[arg-type]
    (lambda: ExceptionGroup("g", [Unshowable()]), "ExceptionGroup", None),
    (lambda: SystemExit(3), "SystemExit", "3"), (lambda: GeneratorExit(), "GeneratorExit", "GeneratorExit"),
], ids=["surrogate", "no-text", "huge", "nan", "no-string", "negative", "text", "group", "exit", "generator"])
def test_error_whatever_it_says_is_reported_and_its_slot_is_free(
    is_async: bool, raised: Callable[[], BaseException], kind: str | None, message: str | None
) -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("bad")
        await f.until("it fails", lambda: ends(f, "wl_1"))
        (end,) = ends(f, "wl_1")
        assert end["event"] == "fail" and kind in (None, end["failure"]["type"])
        assert message in (None, end["failure"]["message"])
        assert len(end["failure"]["message"]) <= 1 << 14 and len(end["failure"]["type"]) <= 200
        assert 0 <= end.get("retry_after_ms", 0) <= 86_400_000
        await f.until("its slot is free", lambda: f.c.beat["free_slots"] == 2 and not f.c.beat["inventory"])

    f = Fixture(Coordinator())
    if is_async:
        @f.worker.workload("bad")
        async def bad(task: Task[Any, None]) -> None:
            raise raised()
    else:
        @f.worker.workload("bad")
        def bad_too(task: SyncTask[Any, None]) -> None:
            raise raised()
    f.run(test)


@pytest.mark.parametrize(("value", "result"), [
    (LONE, LONE), ({"a": [LONE]}, {"a": [LONE]}), (float("nan"), None), (Unreadable(), None), ({1, 2}, [1, 2]),
], ids=["surrogate", "nested", "nan", "object", "set"])
def test_result_that_cannot_be_written_fails_for_good_and_a_surrogate_can(value: Any, result: Any) -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("odd")
        await f.until("it ends", lambda: ends(f, "wl_1"))
        (end,) = ends(f, "wl_1")
        if result is not None:
            assert end["result"] == result
        else:
            assert end["failure"]["type"] == "invalid_result" and end["failure"]["permanent"]

    f = Fixture(Coordinator())

    @f.worker.workload("odd")
    async def odd(task: Task[Any, None]) -> Any:
        return value

    f.run(test)


def test_result_that_is_nested_without_end_fails_for_good() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(NiyantaError, match="invalid_result"):
        async def deep(task: Task[Any, None]) -> Any:
            return value

        Kit(deep).run({})


def test_lines_whatever_they_hold_cost_nobody_a_report() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("odd")
        f.c.assign("noop", "wl_2")
        await f.until("both complete", lambda: ends(f, "wl_1") and ends(f, "wl_2"))
        lines = [line for r in f.c.reports for line in r.get("lines", [])]
        assert [line["message"] for line in lines[:3]] == [LONE, "object", "7"]
        assert lines[0]["details"] == {"name": LONE} and lines[0]["level"] == "INFO"
        assert lines[1]["details"] == {"it": "<Unreadable that cannot be shown>", "n": "nan", "fine": 1}
        assert len(json.dumps(lines[3]["details"])) < 8192 and len(lines[3]["message"]) <= 8192
        assert "bytes" in lines[3]["details"]["cut"]
        assert [line["level"] for line in lines[4:8]] == ["INFO", "WARN", "ERROR", "INFO"], "a level that is none"
        assert any(r.get("progress_message") == LONE for r in f.c.reports)
        assert "caf%3F" in f.c.puts[0][0] and json.loads(f.c.puts[0][1]) == {"name": LONE}

    f = Fixture(Coordinator())

    @f.worker.workload("odd")
    async def odd(task: Task[Any, Any]) -> None:
        task.log(LONE, name=LONE)
        task.log("object", it=Unreadable(), n=float("nan"), fine=1)
        task.log(7, "INFO")  # type: ignore[arg-type]
        task.log("x" * 1_000_000, all="x" * 1_000_000, more=list(range(100_000)))
        for level in ("success", "warning", "CRITICAL", 5):
            task.log("level", level)  # type: ignore[arg-type]
        task.report(float("nan"))
        task.report(50, LONE)
        with pytest.raises(TypeError, match="percent"):
            task.report("many")  # type: ignore[arg-type]
        await task.checkpoint({"name": LONE}, percent=float("nan"), message=LONE)

    f.run(test)


def test_line_that_changes_after_it_was_logged_is_what_it_was() -> None:
    async def handler(task: Task[Any, None]) -> None:
        shown = {"n": 1}
        task.log("before", shown=shown)
        shown["n"] = 2

    kit = Kit(handler)
    kit.run({})
    assert kit.lines[0].details == {"shown": {"n": 1}}


def test_flood_of_lines_delays_no_heartbeat_and_takes_no_memory() -> None:
    over = threading.Event()

    async def test(f: Fixture) -> None:
        f.c.assign("flood")
        f.c.assign("flood", "wl_2")
        try:
            await f.until("they run", lambda: f.c.events("wl_1") and f.c.events("wl_2"))
            before, longest = f.c.beat["number"], 0
            while f.c.beat["number"] < before + 5:
                await asyncio.sleep(0.01)
                longest = max(longest, len(f.worker._engine.agent._mailbox._calls))  # type: ignore[union-attr]
        finally:
            over.set()
        assert longest < 100, "what a flood brings does not pile up"
        await f.until("both complete", lambda: ends(f, "wl_1") and ends(f, "wl_2"), 20)
        assert len(f.c.sessions) == 1

    f = Fixture(Coordinator())

    @f.worker.workload("flood")
    def flood(task: SyncTask[Any, None]) -> None:
        while not over.is_set():
            task.log("x" * 1000)
            task.report(1)

    f.run(test)


def test_outcome_that_is_refused_fails_for_good_instead_of_running_for_ever() -> None:
    async def test(f: Fixture) -> None:
        async def refuse(request: httpx.Request, message: Any) -> httpx.Response | None:
            bad = any(r["event"] == "complete" for r in message["reports"])
            return error(413, "TOO_LARGE") if bad else None

        f.c.script["report"] = refuse
        f.c.assign("noop")
        await f.until("it fails", lambda: ends(f, "wl_1"))
        failure = ends(f, "wl_1")[0]["failure"]
        assert failure["permanent"] and failure["type"] == "invalid_result" and "TOO_LARGE" in failure["message"]
        await f.until("it is not held on to", lambda: not f.c.beat["inventory"])

    Fixture(Coordinator()).run(test)


# Tenants.


def test_input_with_an_integer_that_python_cannot_read_fails_alone() -> None:
    async def test(f: Fixture) -> None:
        async def poll(request: httpx.Request, message: Any) -> httpx.Response | None:
            f.c.script.pop("poll")
            f.c.assign("noop", "wl_1", input_params={"n": "MANY"})
            f.c.assign("noop", "wl_2", config_json={"n": ["MANY"]})
            f.c.assign("noop", "wl_3")
            commands, f.c._commands = f.c._commands, []
            body = json.dumps({"commands": commands}).replace('"MANY"', MANY_DIGITS)
            return httpx.Response(200, content=body.encode())

        f.c.script["poll"] = poll
        for w in ("wl_1", "wl_2", "wl_3"):
            await f.until("it ends", lambda: ends(f, w))
        assert ends(f, "wl_3")[0]["event"] == "complete"
        for w, name in (("wl_1", "input_params"), ("wl_2", "config_json")):
            failure = ends(f, w)[0]["failure"]
            assert failure["type"] == "invalid_input" and failure["permanent"] and name in failure["message"]

    Fixture(Coordinator(), slots=5).run(test)


# Servers.


@pytest.mark.parametrize("name", ["register", "heartbeat", "poll", "report"])
@pytest.mark.parametrize("answer", [
    lambda: httpx.Response(200, content=DEEP.encode()), lambda: httpx.Response(200, content=b'{"lease_ms": NaN}'),
    lambda: httpx.Response(200, json={"lease_ms": None, "commands": 7, "answers": [7]}),
    lambda: httpx.Response(200, json={"lease_ms": -1, "commands": {"a": 1}, "answers": None}),
    lambda: httpx.Response(200, content=b"\xff\xfe"), lambda: httpx.Response(302, headers={"Location": "http://evil/"}),
    lambda: httpx.Response(200, content=gzip.compress(bytes(4 << 20)), headers={"Content-Encoding": "gzip"}),
    lambda: httpx.Response(200, json={}), lambda: httpx.Response(204),
    lambda: httpx.Response(200, json={"lease_ms": 0, "answers": [{}], "status": "log in"}),
], ids=["deep", "nan", "types", "values", "bytes", "redirect", "bomb", "no-members", "nothing", "foreign"])
def test_answer_that_is_none_is_asked_for_again(
    name: str, answer: Callable[[], httpx.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_plane, "ANSWER_LIMIT", 1 << 20)
    hosts: set[str] = set()

    async def test(f: Fixture) -> None:
        f.c.assign("noop")
        await f.until("it completes", lambda: f.c.events("wl_1") == ["start", "complete"])
        await f.until("it is asked again", lambda: count > 2)
        assert len(f.c.sessions) == 1 and hosts == {"a"}

    c, count = Coordinator(), 0

    async def twice(request: httpx.Request, message: Any) -> httpx.Response | None:
        nonlocal count
        hosts.add(request.url.host)
        count += 1
        return None if count > 2 else answer()

    c.script[name] = twice
    Fixture(c).run(test)


@pytest.mark.parametrize("answer", [
    lambda: httpx.Response(404, text="default backend - 404"), lambda: httpx.Response(403, text="<html>"),
    lambda: httpx.Response(400, json={"message": "bad"}), lambda: httpx.Response(409, json={"error": "busy"}),
    lambda: httpx.Response(405, json=[]), lambda: httpx.Response(200, text="<html>log in</html>"),
    lambda: httpx.Response(204), lambda: error(401, "UNAUTHORIZED"), lambda: error(403, "FORBIDDEN"),
    lambda: httpx.Response(200, json={}), lambda: httpx.Response(200, json={"outcome": ""}),
], ids=["404", "403", "400", "409", "405", "login", "empty", "key", "forbidden", "json", "no-outcome"])
def test_answer_of_something_on_the_way_neither_loses_a_checkpoint_nor_fails_a_run(
    answer: Callable[[], httpx.Response]
) -> None:
    async def test(f: Fixture) -> None:
        f.c.saved["3"] = b'{"at": 40}'
        f.c.assign("steps", checkpoint_sequence=3, input_params={"to": 41})
        await f.until("it completes", lambda: f.c.events("wl_1") == ["start", "complete"])
        assert f.c.sequences == [4], "it goes on from the checkpoint"
        assert asked == {"GET": 3, "PUT": 3} and len(f.c.sessions) == 1

    c, asked = Coordinator(), {"GET": 0, "PUT": 0}

    async def twice(request: httpx.Request, message: Any) -> httpx.Response | None:
        asked[request.method] += 1
        return None if asked[request.method] > 2 else answer()

    c.script["GET"] = c.script["PUT"] = twice
    Fixture(c).run(test)


def test_polls_that_bring_no_commands_at_all_do_not_follow_each_other_without_a_pause() -> None:
    async def test(f: Fixture) -> None:
        await asyncio.sleep(1)
        assert 1 <= count <= 12

    c, count = Coordinator(), 0

    async def foreign(request: httpx.Request, message: Any) -> httpx.Response | None:
        nonlocal count
        count += 1
        return httpx.Response(200, json={"status": "ok"})

    c.script["poll"] = foreign
    Fixture(c).run(test)


def test_commands_that_are_none_cost_the_others_nothing() -> None:
    async def test(f: Fixture) -> None:
        odd: list[Any] = [
            7, None, [], {"kind": 5}, {"session_id": f.c.session, "kind": "workload.assign", "assignment": 3},
            {"session_id": f.c.session, "kind": "workload.cancel", "workload_id": [], "generation": {}},
        ]
        f.c._commands += odd
        f.c.command("workload.assign", "wl_9", assignment={"workload_id": "wl_9", "generation": "one"})
        f.c.assign("noop")
        await f.until("it completes", lambda: f.c.events("wl_1") == ["start", "complete"])
        await f.until("it is declined", lambda: f.c.events("wl_9") == ["decline"])
        assert len(f.c.sessions) == 1

    Fixture(Coordinator()).run(test)


def test_ids_of_any_form_stay_where_they_belong() -> None:
    async def test(f: Fixture) -> None:
        f.c.assign("steps", "wl/../2?a=b#c", input_params={"to": 1})
        await f.until("it completes", lambda: "complete" in f.c.events("wl/../2?a=b#c"))
        url = f.c.puts[0][0]
        assert "/workloads/wl%2F..%2F2%3Fa%3Db%23c/checkpoints/1?worker_id=a%26b%20c%2Fd&session_id=" in url

    f = Fixture(Coordinator())
    f.worker.worker_id = "a&b c/d"
    f.run(test)


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "-5", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_pause_that_is_none_is_not_made(value: str) -> None:
    s = Script(refused(429, "RATE_LIMITED", retry_after=value), ok(WORKLOAD), retry_for=5000)
    s.run(operations.get(s.core, "wl_1"))
    assert len(s.slept) == 1 and 0 < s.slept[0] < 3700 and math.isfinite(s.slept[0])


@pytest.mark.parametrize("body", [
    [], 7, "x", {}, {"error": 5}, {"error": []}, {"error": {"code": 5, "message": [], "details": [1], "request_id": 7}},
    {"error": {"code": "\x1b[2J", "message": "\x1b]0;evil\x07" + "x" * 100_000, "details": None}},
])
def test_refusal_of_any_form_is_an_error_that_can_be_shown(body: Any) -> None:
    s = Script(ok(body, 400))
    with pytest.raises(NiyantaError) as raised:
        s.run(operations.get(s.core, "wl_1"))
    text = f"{raised.value}{raised.value!r}"
    assert "\x1b" not in text and "\x07" not in text and len(text) < 50_000


@pytest.mark.parametrize("body", [[], 7, {}, {"workloads": 5}, {"workloads": [5]}, {"workloads": [], "pagination": 3},
                                  {"workloads": [], "pagination": {"next_cursor": "same"}}])
def test_page_of_any_form_is_refused(body: Any) -> None:
    s = Script(*[ok(body)] * 10)
    with pytest.raises(Unavailable):
        if body == {}:
            s.run(operations.get(s.core, "wl_1"))
        s.run(operations.list_workloads(s.core))
    assert len(s.sent) <= 2


def test_log_whose_pages_do_not_end_is_refused() -> None:
    line = {"seq": 1, "timestamp": "2026-01-02T03:05:00Z", "level": "INFO", "message": "m", "generation": 1}
    s = Script(*[ok({"logs": [line], "has_more": True})] * 10)
    with pytest.raises(Unavailable):
        s.run(operations.logs(s.core, "wl_1"))
    assert len(s.sent) == 2


def test_event_with_separators_in_its_text_is_one_event() -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x1cf"
    event = {"type": "completed", "event_id": "e", "workload_id": "wl_1", "status": "COMPLETED", "message": text}
    body = f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\n".encode()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body, headers={"Content-Type": "text/event-stream"})

    with Client("http://a", "key", http=httpx.Client(transport=httpx.MockTransport(answer))) as client:
        assert [e.message for e in client.workloads.watch("wl_1")] == [text]

    async def body_async() -> list[str | None]:
        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        async with AsyncClient("http://a", "key", http=http) as client:
            return [e.message async for e in client.workloads.watch("wl_1")]

    assert asyncio.run(body_async()) == [text]


@pytest.mark.parametrize("answer", [
    httpx.Response(200, text="<html>log in</html>", headers={"Content-Type": "text/html"}),
    httpx.Response(200, json={"status": "ok"}), httpx.Response(200),
], ids=["html", "json", "empty"])
def test_page_in_place_of_a_stream_or_of_a_checkpoint_is_refused(answer: httpx.Response) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)

    with Client("http://a", "key", http=httpx.Client(transport=httpx.MockTransport(page))) as client:
        with pytest.raises(Unavailable, match="is this a coordinator"):  # it would be asked for again without end
            list(client.workloads.watch("wl_1"))
        with pytest.raises(Unavailable, match="is this a coordinator"):
            client.workloads.checkpoint_data("wl_1", 1)

    async def body_async() -> None:
        async with AsyncClient("http://a", "key", http=httpx.AsyncClient(transport=httpx.MockTransport(page))) as client:
            with pytest.raises(Unavailable, match="is this a coordinator"):
                async for _ in client.workloads.watch("wl_1"):
                    pass

    asyncio.run(asyncio.wait_for(body_async(), 20))


def test_line_of_a_stream_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "LINE_LIMIT", 1 << 20)

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            while True:
                yield b"x" * 65536

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Endless())

    with Client("http://a", "key", http=httpx.Client(transport=httpx.MockTransport(answer))) as client:
        with pytest.raises(Unavailable, match="bytes"):
            list(client.workloads.watch("wl_1"))


def test_answer_that_grows_without_end_is_refused_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    sent = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        return httpx.Response(200, content=bomb, headers={"Content-Encoding": "gzip"})

    monkeypatch.setattr(_http, "ANSWER_LIMIT", 1 << 20)
    with Client("http://a", "key", http=httpx.Client(transport=httpx.MockTransport(answer))) as client:
        with pytest.raises(Unavailable, match="bytes"):
            client.workloads.get("wl_1")
    assert sent == 1


def test_redirect_does_not_carry_the_key_elsewhere_and_says_where_it_leads() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(307, headers={"Location": "http://evil/\x1b[2J"[:12]})

    with Client("http://a", "key", retry_for=0, http=httpx.Client(transport=httpx.MockTransport(answer))) as client:
        with pytest.raises(Unavailable, match="http://evil"):
            client.workloads.submit("noop", {})
    assert seen == ["a"]


@pytest.mark.parametrize("id", ["", ".", ".."])
def test_id_that_would_be_another_path_is_refused(id: str) -> None:
    s = Script()
    with pytest.raises(InvalidInput) as raised:
        s.run(operations.cancel(s.core, id))
    assert raised.value.field == "id" and not s.sent


@pytest.mark.parametrize("key", ["a\nb", "é", "", "a\r\nX: y"])
def test_idempotency_key_that_is_no_header_is_refused(key: str) -> None:
    s = Script()
    with pytest.raises(InvalidInput) as raised:
        s.run(operations.submit(s.core, "noop", {}, idempotency_key=key))
    assert raised.value.field == "idempotency_key" and not s.sent


@pytest.mark.parametrize("url", ["http://user:pw@a", "http://a?x=1", "http://a/#f", "ftp://a", "a:80"])
def test_address_that_is_none_of_a_coordinator_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="^url: "):
        parse_urls(url)


def test_number_of_many_digits_does_not_hide_the_workload() -> None:
    s = Script(ok(WORKLOAD))
    s.results[0].body = json.dumps({**WORKLOAD, "input_params": {"n": "MANY"}}).replace('"MANY"', MANY_DIGITS).encode()
    assert str(s.run(operations.get(s.core, "wl_1")).input_params["n"]) == MANY_DIGITS


def test_text_of_a_tenant_commands_no_terminal() -> None:
    s = Script(ok({**WORKLOAD, "status": "FAILED", "error_type": "\x1b[2J", "error_message": "\x1b]0;x\x07\nline"}))
    w = s.run(operations.get(s.core, "wl_1"))
    assert "\x1b" not in repr(w)
    with pytest.raises(NiyantaError) as raised:
        w.result()
    assert "\x1b" not in str(raised.value) and "\nline" in str(raised.value)


def test_stream_that_brings_an_event_of_any_form_is_refused() -> None:
    for data in (DEEP, "[1]", "{", '{"type": 5}'):
        s = Script(Lines([f"data: {data}", ""]))
        with pytest.raises(Unavailable):
            s.run(operations.watch(s.core, "wl_1"))


# The trace of a workload.


def test_request_of_a_handler_belongs_to_the_trace_of_its_workload() -> None:
    span = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("traceparent", ""))
        return httpx.Response(404, json={"error": {"code": "NOT_FOUND", "message": "no", "request_id": "req_1"}})

    client = Client("http://a", "key", http=httpx.Client(transport=httpx.MockTransport(answer)))
    told: list[str] = []

    async def test(f: Fixture) -> None:
        f.c.assign("asks", traceparent=span, request_id="req_7")
        await f.until("it completes", lambda: "complete" in f.c.events("wl_1"))

    f = Fixture(Coordinator())

    @f.worker.workload("asks")
    def asks(task: SyncTask[Any, None]) -> None:
        told.extend([task.request_id, task.traceparent])
        with pytest.raises(NiyantaError) as raised:
            client.workloads.get("wl_2")
        told.extend([raised.value.request_id, raised.value.traceparent])  # type: ignore[attr-defined]

    f.run(test)
    assert told == ["req_7", span, "req_1", span] and seen == [span]
    with pytest.raises(NiyantaError):
        client.workloads.get("wl_2")
    assert seen[1] == "", "outside of a handler there is none"
