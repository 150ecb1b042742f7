"""What notebooks and terminals show of workloads."""

from __future__ import annotations

import asyncio
import copy
import html.parser
import io
import json
import pickle
import sys
import types
from typing import Any

import httpx
import pytest

from conftest import System
from niyanta import AsyncClient, Client, Event, NiyantaError, Submission, Workload, WorkloadFailed, _codec
from niyanta._watching import Shown, _lines, _terminal
from niyanta.errors import printable
from test_client import WORKLOAD

EVIL = "<script>alert(1)</script>\x1b[2J\"'&"


def workload(**more: Any) -> Workload:
    w: Workload = _codec.decode(Workload, {**WORKLOAD, **more})
    return w


class Tags(html.parser.HTMLParser):
    """Collects the elements and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_workload_in_a_notebook_is_a_table_whose_texts_are_escaped() -> None:
    w = workload(
        workload_type=EVIL, progress_message=EVIL, status_reason=EVIL, labels={EVIL: EVIL}, worker_id=EVIL,
        error_type=EVIL, error_message=EVIL, workload_id=EVIL, devices=[{"id": EVIL, "share": 1}],
    )
    for page in (w._repr_html_(), Shown(w)._repr_html_()):
        found = Tags(page)
        assert not {"script"} & set(found.tags) and "<script>" in found.text
    text = Tags(w._repr_html_()).text
    assert "status" in text and "completed" not in text, "what is not, is left out"


def test_bar_shows_what_events_say() -> None:
    shown = Shown(workload(status="PENDING"))
    event: dict[str, Any] = {
        "type": "status_update", "event_id": "1", "workload_id": "wl_1", "status": "RUNNING", "worker_id": "w1",
        "progress_percent": 50, "message": "half",
    }
    assert shown.apply(_codec.decode(Event, event)) and not shown.apply(_codec.decode(Event, event))
    assert not shown.apply(_codec.decode(Event, {**event, "type": "log_line", "message": "a line"}))
    assert shown.line().endswith(f"[{'#' * 15}{'.' * 15}]  50 % · RUNNING · half · on w1")


def test_terminal_redraws_one_line_and_obeys_no_text_of_others() -> None:
    out = io.StringIO()
    draw = _terminal(out)
    shown = Shown(workload(progress_message="\x1b[2J\nfirst"))
    draw(shown, False)
    draw(shown, True)
    assert out.getvalue().count("\r\x1b[2K") == out.getvalue().count("\x1b") == 2
    assert out.getvalue().count("\n") == 1 and printable("a\x07\u202eb") == "a??b"


def test_text_gets_a_line_for_each_status_and_tenth() -> None:
    out = io.StringIO()
    draw = _lines(out)
    for percent in range(0, 101):
        draw(Shown(workload(status="RUNNING", progress_percent=percent)), False)
    draw(Shown(workload(status="COMPLETED")), True)
    assert len(out.getvalue().splitlines()) == 12


def test_notebook_updates_one_display(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, value: Any) -> None:
            shown.append(value._repr_html_())

    def display(value: Any, display_id: bool) -> Handle:
        shown.append("first " + value._repr_html_())
        return Handle()

    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=1)
    module: Any = types.ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    final = {**WORKLOAD, "status": "COMPLETED"}
    event: dict[str, Any] = {
        "type": "completed", "event_id": "1", "workload_id": "wl_1", "status": "COMPLETED", "progress_percent": 100,
    }
    answers = iter([
        httpx.Response(200, json=WORKLOAD),
        httpx.Response(200, text=f"data: {json.dumps(event)}\n\n", headers={"Content-Type": "text/event-stream"}),
        httpx.Response(200, json=final),
    ])
    client = Client("http://a", "key", http=httpx.Client(transport=httpx.MockTransport(lambda _: next(answers))))
    w = workload()
    object.__setattr__(w, "_workloads", client.workloads)
    assert w.watch().status == "COMPLETED"
    assert len(shown) == 2 and shown[0].startswith("first ") and not any(s.startswith("first") for s in shown[1:])


def test_watch_async_is_for_what_an_async_client_returned(capsys: pytest.CaptureFixture[str]) -> None:
    final = {**WORKLOAD, "status": "COMPLETED"}
    event: dict[str, Any] = {
        "type": "completed", "event_id": "1", "workload_id": "wl_1", "status": "COMPLETED", "progress_percent": 100,
    }
    answers = iter([
        httpx.Response(200, json=WORKLOAD), httpx.Response(200, json=WORKLOAD),
        httpx.Response(200, text=f"data: {json.dumps(event)}\n\n", headers={"Content-Type": "text/event-stream"}),
        httpx.Response(200, json=final),
    ])

    async def body() -> None:
        http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: next(answers)))
        async with AsyncClient("http://a", "key", http=http) as client:
            w = await client.workloads.get("wl_1")
            with pytest.raises(NiyantaError, match="await workload.watch_async"):
                w.watch()
            assert (await w.watch_async()).status == "COMPLETED"

    asyncio.run(body())
    assert "100 % · COMPLETED" in capsys.readouterr().err
    w = workload()
    object.__setattr__(w, "_workloads", Client("http://a", "key").workloads)
    with pytest.raises(NiyantaError, match=r"use workload.watch\(\)"):
        asyncio.run(w.watch_async())


def test_workload_is_copied_and_pickled_without_its_client() -> None:
    w = workload()
    object.__setattr__(w, "_workloads", lambda: None)
    for other in (pickle.loads(pickle.dumps(w)), copy.deepcopy(w)):
        assert other == w
        with pytest.raises(NiyantaError, match="client.workloads.watch"):
            other.watch()


def test_failure_says_what_to_do() -> None:
    with pytest.raises(WorkloadFailed) as raised:
        workload(status="FAILED", error_type="disk", error_message="it is full").result()
    assert "disk: it is full" in str(raised.value) and "client.workloads.logs('wl_1')" in str(raised.value)


def test_watch_follows_a_workload_to_its_end(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    system.worker()
    w = system.client.workloads
    submitted = w.submit("count", {"to": 20})
    done = submitted.watch()
    assert done.status == "COMPLETED" and done.result()["counted"] == 20
    lines = capsys.readouterr().err.splitlines()
    assert "  0 % · " in lines[0] and "100 % · COMPLETED" in lines[-1] and 3 <= len(lines) < 20
    percents = [int(line.split("]")[1].split()[0]) for line in lines]
    assert percents == sorted(percents)
    assert done.watch() == w.get(submitted.workload_id), "one that has ended is shown at once"
    listed = next(x for x in w.list() if x.workload_id == submitted.workload_id)
    assert listed.watch().is_final
    assert w.submit_batch([Submission(workload_type="noop", input_params={})])[0].workload_id
