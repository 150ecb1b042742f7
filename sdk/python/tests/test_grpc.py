"""gRPC by grpcio, with messages that protoc makes of the .proto files, as any Python program has it."""

from __future__ import annotations

import importlib
import json
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import TESTS, System

PROTOS = TESTS.parents[2] / "api"
SERVICE = "/niyanta.v1.WorkloadService/"


@pytest.fixture(scope="session")
def messages(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module of the messages of WorkloadService."""
    folder = tmp_path_factory.mktemp("protoc")
    files = [str(p.relative_to(PROTOS)) for p in (PROTOS / "niyanta/v1").glob("*.proto")]
    subprocess.run(["protoc", "-I", str(PROTOS), f"--python_out={folder}", *files], check=True)
    # The package of the messages has the name of the SDK, which is imported already.
    niyanta = importlib.import_module("niyanta")
    niyanta.__path__.append(str(folder / "niyanta"))
    yield importlib.import_module("niyanta.v1.workload_service_pb2")
    niyanta.__path__.remove(str(folder / "niyanta"))


def test_grpc_submits_follows_and_refuses(system: System, messages: Any, tmp_path: Path) -> None:
    common = importlib.import_module("niyanta.v1.common_pb2")
    key = [("authorization", f"Bearer {system.key}")]
    with grpc.insecure_channel(system.url.removeprefix("http://")) as channel:
        def call(name: str, answer: Any, kind: Any = channel.unary_unary) -> Any:
            request = getattr(messages, f"{name}Request")
            return kind(SERVICE + name, request_serializer=request.SerializeToString,
                        response_deserializer=answer.FromString)

        submit = call("SubmitWorkload", messages.SubmitAnswer)
        get = call("GetWorkload", common.Workload)
        asked = messages.SubmitWorkloadRequest(
            workload_type="nobody-offers-it", input_params='{"id": 123456789012345678}', labels={"by": "grpc"},
        )
        workload_id = submit(asked, metadata=key, timeout=20).workload_id
        got = get(messages.GetWorkloadRequest(workload_id=workload_id), metadata=key, timeout=20)
        over_rest = system.get(workload_id)
        assert got.status == over_rest.status == "PENDING"
        assert dict(got.labels) == over_rest.labels == {"by": "grpc"}
        assert json.loads(got.input_params) == over_rest.input_params == {"id": 123456789012345678}

        stream = call("StreamWorkloadStatus", messages.StreamWorkloadStatusResponse, channel.unary_stream)
        events = stream(messages.StreamWorkloadStatusRequest(workload_id=workload_id), metadata=key, timeout=20)
        assert next(events).event.status == "PENDING"
        cancel = call("CancelWorkload", messages.ControlAnswer)
        cancelled = cancel(messages.CancelWorkloadRequest(workload_id=workload_id), metadata=key, timeout=20)
        assert cancelled.status == "CANCELLED"
        assert [m.event.status for m in events if m.HasField("event")][-1] == "CANCELLED"

        with pytest.raises(grpc.RpcError) as again:
            cancel(messages.CancelWorkloadRequest(workload_id=workload_id), metadata=key, timeout=20)
        assert again.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        with pytest.raises(grpc.RpcError) as nobody:
            get(messages.GetWorkloadRequest(workload_id=workload_id), timeout=20)
        assert nobody.value.code() == grpc.StatusCode.UNAUTHENTICATED
