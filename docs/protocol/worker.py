#!/usr/bin/env python3
"""A worker for Niyanta that needs nothing but Python 3. It offers the workload type "count"."""
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

URL = os.environ["NIYANTA_COORDINATOR_URL"]
KEY = os.environ["NIYANTA_WORKER_KEY"]
WORKER = os.environ.get("NIYANTA_WORKER_ID") or "count-" + uuid.uuid4().hex[:8]
PROCESS = "proc_" + uuid.uuid4().hex  # this process, for its whole life
SLOTS = 2

leaving = threading.Event()  # SIGTERM: drain, then end


class Over(Exception):
    """The session is over (409). Its runs have stopped or must stop now."""


class Refused(Exception):
    """The coordinator will never take this request (other 4xx), with the code that it gave."""


class Stop(Exception):
    """The run has to end: cancelled, dropped, pause, drain or lease."""


class Failed(Exception):
    """The workload itself failed, with a type and a message."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would take the key to another host."""

    def redirect_request(self, *_):
        return None


opener = urllib.request.build_opener(NoRedirect)


def integer(text):
    """Reads an integer. One of thousands of digits, which int refuses, must not keep a poll from being read."""
    return int(text) if len(text) < 1000 else float(text)


def code_of(text):
    """The code of a coordinator's error; "": it is none, but of something that stands before."""
    try:
        return json.loads(text)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return ""


def call(method, path, body=None, data=None, timeout=2.0):
    """One try. An OSError means: nothing is known, try again."""
    payload = data if data is not None else json.dumps(body).encode() if body is not None else None
    kind = "application/json" if data is None else "application/octet-stream"
    request = urllib.request.Request(URL + path, payload, {"Authorization": "Bearer " + KEY, "Content-Type": kind},
                                     method=method)
    try:
        with opener.open(request, timeout=timeout) as answer:
            content = answer.read()
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            return json.loads(content, parse_int=integer) if is_json and content else content
    except urllib.error.HTTPError as e:
        text = e.read().decode(errors="replace")
        code = code_of(text)
        if e.code in (408, 429) or e.code >= 500 or e.code < 400 or not code and e.code != 413:
            raise OSError(text) from None
        if e.code == 409:
            raise Over(text) from None
        raise Refused(code, text) from None


class Session:
    """One session: its lease, its runs."""

    def __init__(self, session_id, previous):
        self.id = session_id
        self.ref = {"worker_id": WORKER, "session_id": self.id}
        self.runs, self.ended = {}, set()
        self.lock = threading.Lock()
        self.draining = leaving.is_set()
        self.over, self.hurry = threading.Event(), threading.Event()
        self.number = 0
        self.answered = time.monotonic()  # before it is sent
        grant = call("POST", "/v1/worker/register", {
            **self.ref, "previous_session_id": previous, "process_id": PROCESS,
            "capabilities": ["count"], "slots": SLOTS, "version": "1", "draining": leaving.is_set()})
        self.lease, self.interval = grant["lease_ms"] / 1000, grant["heartbeat_interval_ms"] / 1000

    def check(self):
        """The fence. Call it before everything that others can see."""
        if not self.over.is_set() and time.monotonic() - self.answered >= self.lease * 0.8:
            self.finish("no heartbeat was answered")
        if self.over.is_set():
            raise Over("the session is over")

    def finish(self, why):
        print("session over:", why, flush=True)
        self.over.set()
        with self.lock:
            for run in self.runs.values():
                run.stop("lease_lost")

    def request(self, method, path, **how):
        """Tries until there is an answer or the session is over."""
        delay = 0.1
        while True:
            self.check()
            try:
                return call(method, path, **how)
            except Over as e:
                self.finish(str(e))
                raise
            except (OSError, Refused) as e:  # a key that is refused is no failure of a run
                if isinstance(e, Refused) and e.args[0] not in ("UNAUTHORIZED", "FORBIDDEN"):
                    raise
                time.sleep(delay)
                delay = min(2 * delay, 2)

    def beat(self):
        """One heartbeat, sent again with the same number until it is answered."""
        self.number += 1
        number = self.number
        while True:
            self.check()
            sent = time.monotonic()
            with self.lock:
                inventory = [{"workload_id": r.id, "generation": r.generation, "state": r.state}
                             for r in self.runs.values()]
            try:
                answer = call("POST", "/v1/worker/heartbeat", {
                    **self.ref, "number": number, "inventory": inventory, "draining": leaving.is_set(),
                    "drained": self.draining and not leaving.is_set(),
                    "free_slots": max(0, SLOTS - len(inventory))})
                break
            except OSError:
                time.sleep(0.2)
        self.answered, self.lease = sent, answer["lease_ms"] / 1000
        for command in answer.get("commands", []):
            self.obey(command)

    def beat_loop(self):
        try:
            while True:
                self.beat()
                self.hurry.wait(self.interval)
                self.hurry.clear()
        except Over as e:
            self.finish(str(e))

    def poll_loop(self):
        try:
            while True:
                answer = self.request("POST", "/v1/worker/poll", body={**self.ref, "wait_ms": 1000}, timeout=3)
                for command in answer["commands"]:
                    self.obey(command)
        except Over:
            pass

    def obey(self, command):
        if command["session_id"] != self.id:
            return
        kind, key = command["kind"], (command.get("workload_id"), command.get("generation"))
        if kind == "workload.assign":
            self.take(key, command["assignment"])
        elif kind in ("worker.drain", "worker.undrain"):
            self.draining = kind == "worker.drain"
            if self.draining:
                self.drain()
        elif run := self.runs.get(key):  # else it is late: ignore it
            if kind == "workload.cancel":
                run.stop("cancelled")
            elif kind == "workload.drop":
                run.stop("dropped")
            elif kind == "workload.pause":
                run.stop("pause")
            elif kind == "workload.preempt":
                run.stop("preempt")
            elif kind == "workload.checkpoint":
                run.wanted.set()
                run.wake.set()

    def drain(self):
        with self.lock:
            for run in self.runs.values():
                run.stop("drain")

    def take(self, key, assignment):
        with self.lock:
            if key in self.runs or key in self.ended:
                return  # told again
            why = ""
            if assignment["workload_type"] != "count":
                why = "the worker does not offer the type " + assignment["workload_type"]
            elif len(self.runs) >= SLOTS:
                why = "worker is full"
            elif self.draining or leaving.is_set():
                why = "worker is draining"
            if why:
                self.ended.add(key)
                run = None
            else:
                run = self.runs[key] = Run(self, assignment)
        if run:
            threading.Thread(target=run.live, daemon=True).start()
        else:
            decline = {"report_id": uuid.uuid4().hex, "workload_id": key[0], "generation": key[1],
                       "event": "decline", "reason": why}
            self.request("POST", "/v1/worker/report", body={**self.ref, "reports": [decline]})


class Run:
    """One workload at one generation. Only its own thread sends its reports, so they arrive in order."""

    def __init__(self, session, assignment):
        self.session, self.assignment = session, assignment
        self.id, self.generation = assignment["workload_id"], assignment["generation"]
        self.sequence = assignment.get("checkpoint_sequence", 0)
        self.state, self.why = "starting", None
        self.wanted = threading.Event()  # a checkpoint was asked for
        self.stopped = threading.Event()
        self.wake = threading.Event()  # one of both, so that a long step does not delay it

    def stop(self, why):
        if self.why not in ("cancelled", "dropped", "lease_lost"):  # these win
            self.why = why
        self.stopped.set()
        self.wake.set()

    def report(self, event, **more):
        report = {"report_id": uuid.uuid4().hex, "workload_id": self.id, "generation": self.generation,
                  "event": event, **more}
        answer = self.session.request("POST", "/v1/worker/report",
                                      body={**self.session.ref, "reports": [report]})["answers"][0]
        if answer["outcome"] in ("fenced", "not_found"):
            self.stop("dropped")
            raise Stop(answer)
        return answer

    def path(self, sequence):
        return (f"/v1/worker/workloads/{self.id}/checkpoints/{sequence}"
                f"?worker_id={WORKER}&session_id={self.session.id}&generation={self.generation}")

    def load(self):
        if self.sequence == 0:
            return None
        try:
            return json.loads(self.session.request("GET", self.path(self.sequence), timeout=30))
        except Refused as e:
            if e.args[0] != "NOT_FOUND":
                raise
            return None  # none is left, begin anew

    def save(self, state, percent):
        """Durable when it returns. A repeated save has the same sequence and bytes."""
        answer = self.session.request("PUT", self.path(self.sequence + 1) + f"&progress_percent={percent}",
                                      data=json.dumps(state).encode(), timeout=30)
        if answer["outcome"] not in ("applied", "already"):
            self.stop("dropped")
            raise Stop(answer)
        self.sequence += 1
        self.wanted.clear()

    def live(self):
        try:
            self.report("start")
            self.state = "running"
            result = count(self)
            self.state = "reporting"
            self.report("complete", result=result)
        except Over:
            pass  # it is no longer ours: say nothing
        except Stop:
            self.state = "reporting"
            try:
                if self.why == "pause":
                    self.report("paused")
                elif self.why == "preempt":
                    self.report("release", reason="preempted", retry_after_ms=5000)
                elif self.why in ("drain", "cancelled", "dropped"):
                    self.report("release", reason="the run was stopped")
            except (Stop, Over, Refused):
                pass
        except Exception as e:
            self.state = "reporting"
            kind, message = e.args if isinstance(e, Failed) else (type(e).__name__, str(e))
            try:
                self.report("fail", failure={"type": kind, "message": message})
            except (Stop, Over, Refused):
                pass
        finally:
            with self.session.lock:
                self.session.runs.pop((self.id, self.generation), None)
                self.session.ended.add((self.id, self.generation))


def count(run):
    """The workload itself: counts to input_params.to, a number each step_ms. It fails at fail_at."""
    params = run.assignment["input_params"]
    to, step = params["to"], params.get("step_ms", 100) / 1000
    timeout = run.assignment.get("timeout_ms", 0) / 1000
    began = time.monotonic()
    state = run.load() or {"at": 0, "padding": "x" * params.get("bytes", 0)}
    while state["at"] < to:
        run.wake.wait(step)
        run.wake.clear()
        run.session.check()
        if timeout and time.monotonic() - began >= timeout:
            raise Failed("timeout", f"the run took longer than {timeout:g} s")
        state["at"] += 1
        if state["at"] == params.get("fail_at"):
            raise Failed("bad_number", f"{state['at']} is a bad number")
        if run.why in ("cancelled", "dropped", "lease_lost"):
            raise Stop(run.why)
        if run.stopped.is_set() or run.wanted.is_set() or state["at"] % 10 == 0:
            run.save(state, round(100 * state["at"] / to, 1))
        if run.stopped.is_set():
            raise Stop(run.why)
    return {"counted": state["at"]}


def fresh():
    return "sess_" + uuid.uuid4().hex


def main():
    signal.signal(signal.SIGTERM, lambda *_: leaving.set())
    previous, taken = "", None  # since when the id is taken
    asked = fresh()  # the same until it is answered: a try may be executed late
    while not leaving.is_set():
        try:
            session = Session(asked, previous)
        except OSError as e:
            print("no coordinator answers:", e, flush=True)
            time.sleep(1)
            continue
        except Over as e:
            error = json.loads(str(e))["error"]
            if error["code"] == "FENCED":  # it has begun, and ended
                asked = fresh()
                time.sleep(0.1)
                continue
            print("the id is taken:", e, flush=True)
            details = error["details"]
            taken = taken or time.monotonic()
            if time.monotonic() - taken > details.get("lease_ms", 0) / 1000:
                sys.exit("another process lives under the id " + WORKER)
            time.sleep(details.get("heartbeat_interval_ms", 2500) / 1000)
            continue
        previous, taken, asked = session.id, None, fresh()
        print("registered", session.id, flush=True)
        for loop in (session.beat_loop, session.poll_loop):
            threading.Thread(target=loop, daemon=True).start()
        while not session.over.is_set() and not leaving.is_set():
            time.sleep(0.1)
            try:
                session.check()
            except Over:
                pass
        if leaving.is_set() and not session.over.is_set():
            announced = session.number
            session.hurry.set()  # what is released before the coordinator knows would be placed here again
            while session.number < announced + 2 and not session.over.is_set():
                session.hurry.set()
                time.sleep(0.05)
            session.drain()
            while session.runs and not session.over.is_set():
                time.sleep(0.05)
            if not session.over.is_set():
                call("POST", "/v1/worker/end", session.ref)
                print("left", flush=True)
        while session.runs:  # nothing of an old session may still run
            time.sleep(0.05)


if __name__ == "__main__":
    main()
