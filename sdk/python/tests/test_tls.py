"""Connections over TLS, with certificates that openssl makes."""

from __future__ import annotations

import asyncio
import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from niyanta import AsyncClient, Client, TLSFiles, Worker
from niyanta._http import async_client, client
from niyanta._plane import Plane
from niyanta.errors import ApiError
from niyanta.tls import Certificates, _Following


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.ca, self.key = folder, str(folder / f"{name}.crt"), str(folder / f"{name}.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.ca)

    def issue(self, name: str) -> tuple[str, str]:
        cert, key, request = (str(self.folder / f"{name}.{kind}") for kind in ("crt", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-days", "1", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial",
                "-extfile", str(extensions), "-out", cert)
        return cert, key


class Coordinator(http.server.ThreadingHTTPServer):
    """Asks clients for a certificate, and remembers their names and serial numbers."""

    seen: list[tuple[str, str]]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket) and isinstance(self.server, Coordinator)
        shown: Any = self.connection.getpeercert()
        subject = dict(part[0] for part in shown["subject"])
        self.server.seen.append((subject["commonName"], shown["serialNumber"]))
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


@pytest.fixture
def coordinator(authority: Authority) -> Iterator[Coordinator]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    context.load_verify_locations(cafile=authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    with Coordinator(("127.0.0.1", 0), Handler) as server:
        server.seen = []
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url(server: Coordinator) -> str:
    return f"https://127.0.0.1:{server.server_address[1]}"


def test_client_with_a_certificate_of_its_authority_gets_in(
    authority: Authority, coordinator: Coordinator, tmp_path: Path
) -> None:
    cert, key = authority.issue("w1")
    files = TLSFiles(authority.ca, cert, key)
    with Client(url(coordinator), "k", retry_for=0, tls=files) as client, pytest.raises(ApiError):
        client.customer()

    async def asynchronously() -> None:
        async with AsyncClient(url(coordinator), "k", retry_for=0, tls=files) as client:
            with pytest.raises(ApiError):
                await client.customer()
        plane = Plane(url(coordinator), "k", None, files)
        try:
            assert (await plane.coordinators[0]._make().get(url(coordinator))).status_code == 404
        finally:
            await plane.close()

    asyncio.run(asynchronously())
    assert [name for name, _ in coordinator.seen] == ["w1"] * 3
    other = Authority(tmp_path, "other")
    for wrong in (TLSFiles(), TLSFiles(other.ca, cert, key), TLSFiles(authority.ca)):
        with Client(url(coordinator), "k", retry_for=0, tls=wrong) as client, pytest.raises(Exception) as refused:
            client.customer()
        assert "404" not in str(refused.value)
    assert len(coordinator.seen) == 3


def test_certificates_that_change_are_used_and_broken_ones_are_not(
    authority: Authority, coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("niyanta.tls.CHECK_INTERVAL", 0.0)
    cert, key = authority.issue("w1")
    shown = Certificates(TLSFiles(authority.ca, cert, key))
    with httpx.Client(verify=shown.context, event_hooks={"request": [shown.look]}) as client:
        client.get(url(coordinator))
        Path(cert).write_text("half")
        client.get(url(coordinator))
        authority.issue("w1")
        client.get(url(coordinator))
    serials = [serial for _, serial in coordinator.seen]
    assert serials[0] == serials[1] != serials[2]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_authority_that_was_taken_out_of_its_file_is_not_trusted(
    authority: Authority, coordinator: Coordinator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    monkeypatch.setattr("niyanta.tls.CHECK_INTERVAL", 0.0)
    mine, theirs = Path(authority.ca).read_text(), Path(Authority(tmp_path, "other").ca).read_text()
    trusted = tmp_path / "trusted.crt"
    trusted.write_text(mine)
    files = TLSFiles(str(trusted), *authority.issue("w1"))

    async def asynchronously() -> None:
        async with async_client(files, httpx.Limits()) as http:
            for text in (mine, theirs, mine + theirs):
                trusted.write_text(text)
                if text == theirs:
                    with pytest.raises((httpx.ConnectError, ssl.SSLError), match="CERTIFICATE_VERIFY_FAILED"):
                        await http.get(url(coordinator))
                else:
                    assert (await http.get(url(coordinator))).status_code == 404

    def synchronously() -> None:
        with client(files) as http:
            for text in (mine, theirs, mine + theirs):
                trusted.write_text(text)
                if text == theirs:
                    with pytest.raises((httpx.ConnectError, ssl.SSLError), match="CERTIFICATE_VERIFY_FAILED"):
                        http.get(url(coordinator))
                else:
                    assert http.get(url(coordinator)).status_code == 404

    asyncio.run(asynchronously()) if is_async else synchronously()
    assert len(coordinator.seen) == 2


def test_new_files_keep_the_protocols_that_connections_choose_from(authority: Authority) -> None:
    following = _Following(ssl.PROTOCOL_TLS_CLIENT)
    following.follow(TLSFiles(authority.ca).context())
    following.set_alpn_protocols(["http/1.1"])
    following.follow(TLSFiles(authority.ca).context())
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        following.wrap_bio(ssl.MemoryBIO(), out, server_hostname="127.0.0.1").do_handshake()
    assert b"http/1.1" in out.read()


def test_files_that_do_not_go_together_are_refused(authority: Authority) -> None:
    cert, _ = authority.issue("w1")
    with pytest.raises(ValueError, match="go together"):
        Client("https://127.0.0.1:1", "k", tls=TLSFiles(authority.ca, cert))
    with pytest.raises(ValueError, match="brings its own"):
        Client("https://127.0.0.1:1", "k", tls=TLSFiles(authority.ca), http=httpx.Client())


def test_worker_from_environment_names_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("COORDINATOR_URL", "https://127.0.0.1:1"), ("WORKER_KEY", "k"), ("COORDINATOR_CA_FILE", "/ca")):
        monkeypatch.setenv(f"NIYANTA_{name}", value)
    assert Worker.from_environment()._tls == TLSFiles(ca="/ca")
    monkeypatch.delenv("NIYANTA_COORDINATOR_CA_FILE")
    assert Worker.from_environment()._tls is None
