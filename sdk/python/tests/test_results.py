"""Results that something on the way finds too large."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from niyanta import Task
from niyanta._results import halved, shortened
from test_worker import Coordinator, Fixture


@pytest.mark.parametrize("limit", [1 << 20, 64 << 10, 6 << 10], ids=["1 MiB", "64 KiB", "6 KiB"])
@pytest.mark.parametrize("size", [1_500_000, 9 << 20], ids=["sent whole", "cut already"])
def test_result_that_a_proxy_refuses_is_cut_and_the_run_completes(limit: int, size: int) -> None:
    whole = json.dumps({"a": "x" * size}, separators=(",", ":"))
    refused: list[int] = []

    async def bounded(request: httpx.Request, message: Any) -> httpx.Response | None:
        if len(request.content) <= limit:
            return None
        refused.append(len(request.content))
        return httpx.Response(413, text="<html><h1>413 Request Entity Too Large</h1></html>")

    async def test(f: Fixture) -> None:
        f.c.assign("large")
        f.c.assign("noop", "wl_2")
        for w in ("wl_1", "wl_2"):
            await f.until("it completes", lambda: f.c.events(w) == ["start", "complete"])
        result = next(r for r in f.c.reports if r["workload_id"] == "wl_1" and r["event"] == "complete")["result"]
        assert (result["truncated"], result["reason"], result["size"]) == (True, "too_large", len(whole))
        kept = base64.b64decode(result["data"])
        assert whole.encode().startswith(kept) and len(kept) > limit // 4, "no more is cut than has to be"
        lines = [line["message"] for r in f.c.reports for line in r.get("lines", [])]
        assert lines == ["one", "two"]

    c = Coordinator()
    c.script["report"] = bounded
    f = Fixture(c)

    @f.worker.workload("large")
    async def large(task: Task[Any, None]) -> Any:
        task.log("one")
        task.log("two")
        return {"a": "x" * size}

    f.run(test)
    assert refused or (limit, size) == (1 << 20, 9 << 20)


def test_what_stands_for_a_result_is_halved_with_its_size() -> None:
    result = json.dumps("x" * 10_000_000).encode()
    first = json.loads(halved(shortened(result)))
    again = json.loads(halved(halved(shortened(result))))
    assert first["size"] == again["size"] == len(result)
    assert len(base64.b64decode(first["data"])) == 2 * len(base64.b64decode(again["data"])) == 256 << 10


@pytest.mark.parametrize("odd", [
    {"data": 7}, {"data": "no base64"}, {"size": "large"}, {"size": None}, {"more": 1}, {"truncated": False},
    {"size": True},
])
def test_result_that_looks_like_one_that_was_cut_is_cut_as_it_is(odd: dict[str, Any]) -> None:
    seems: dict[str, Any] = {
        "encoding": "base64", "content_type": "application/json", "reason": "too_large", "size": 1, "truncated": True,
        "data": "eHh4",
    }
    result = json.dumps({**seems, **odd}, separators=(",", ":")).encode()
    found = json.loads(halved(result))
    assert found["size"] == len(result) and base64.b64decode(found["data"]) == result[: len(result) // 2]
