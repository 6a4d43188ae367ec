"""Host names, keys and webhook addresses that localpod accepts and refuses."""

import asyncio

import httpx
import pytest
import pytest_asyncio

from localpod import Localpod, Options
from localpod.jobs import BadEnvelope, Envelope
from tests.localpod.manual_worker import WORKER_KEY, ManualWorker, manual, submit


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:8000", "app.localhost", "192.168.1.7"])
async def test_loopback_names_and_literal_addresses_are_accepted_as_host(http, host):
    assert (await http.get("/e/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "[", ""])
@pytest.mark.parametrize("path", ["/v2/e/health", "/localpod/state", "/"])
async def test_other_host_names_are_refused_on_every_path(pod, http, host, path):
    answer = await http.get(f"{pod.url}{path}", headers={"Host": host})

    assert answer.status_code == 421
    assert "--allow-host" in answer.json()["error"]


async def test_an_allowed_host_name_is_accepted(tmp_path):
    options = Options(state_dir=tmp_path, shutdown_grace_s=0, allow_hosts=("localpod",))
    async with Localpod({"e": manual(0)}, options) as pod, httpx.AsyncClient(headers={"Authorization": "x"}) as http:
        answer = await http.get(f"{pod.base_url}/e/health", headers={"Host": "localpod:8000"})
    assert answer.status_code == 200


@pytest_asyncio.fixture
async def attached(tmp_path):
    """A pod with an attached endpoint and a random worker key, and a client without a key."""
    options = Options(state_dir=tmp_path, shutdown_grace_s=0, attach=("e",))
    async with Localpod({"e": manual()}, options) as pod, httpx.AsyncClient(base_url=pod.base_url) as http:
        yield pod, http


@pytest.mark.parametrize("operation", ["job-take", "job-take-batch", "job-stop", "ping"])
@pytest.mark.parametrize("key", [None, "any", "Bearer any", "localpod", WORKER_KEY])
async def test_worker_operations_without_the_worker_key_are_refused(attached, operation, key):
    _, http = attached
    headers = {} if key is None else {"Authorization": key}

    assert (await http.get(f"/e/{operation}/unknown", headers=headers)).status_code == 401


@pytest.mark.parametrize("operation", ["job-done", "job-stream"])
async def test_results_without_the_worker_key_are_refused(attached, operation):
    _, http = attached
    job_id = (await http.post("/e/run", json={"input": 1}, headers={"Authorization": "any"})).json()["id"]

    assert (await http.post(f"/e/{operation}/unknown/{job_id}", json={"output": 1})).status_code == 401


async def test_worker_key_is_accepted_with_and_without_bearer(attached):
    pod, http = attached
    http.headers["Authorization"] = "any"
    for prefix in ("", "Bearer "):
        job_id = await submit(http)
        taken = await http.get("/e/job-take/w", headers={"Authorization": prefix + pod.worker_key})
        assert taken.json()["id"] == job_id


async def test_each_start_draws_another_worker_key():
    assert Localpod({}).worker_key != Localpod({}).worker_key


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "file:///etc/passwd",
        "example.com/hook",
        "http://",
        "http:///path",
        "http://[",
        "http://x:99999",
        "http://a b",
        "https://x/\n",
        "javascript:alert(1)",
        "http://x/" + "a" * 2048,
    ],
)
async def test_webhook_that_is_not_an_http_url_is_refused(http, url):
    answer = await http.post("/e/run", json={"input": 1, "webhook": url})

    assert answer.status_code == 400
    assert "webhook" in answer.json()["error"]


@pytest.mark.parametrize("url", ["https://example.com/hook?x=1", "http://127.0.0.1:9/done", "http://[::1]:80/"])
def test_http_and_https_webhooks_are_accepted(url):
    assert Envelope.read({"input": 1, "webhook": url}).webhook == url


def test_an_empty_webhook_means_none():
    assert Envelope.read({"input": 1, "webhook": ""}).webhook is None


def test_a_webhook_that_is_not_a_string_is_refused():
    with pytest.raises(BadEnvelope, match="webhook"):
        Envelope.read({"input": 1, "webhook": ["http://x"]})


async def test_a_ping_with_thousands_of_job_ids_is_answered(http, worker: ManualWorker):
    ids = ",".join(f"job-{number}" for number in range(5000))

    assert (await worker.ping(ids)).status_code == 200


@pytest.mark.parametrize("line", [b"Authorization: secret\x00words", b"secret words", b"X-Key: " + b"secret" * 2_000])
async def test_header_that_can_not_be_parsed_is_refused_and_not_logged(pod, caplog, line):
    reader, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    writer.write(b"GET /v2/e/health HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n")
    answer = await reader.read()
    writer.close()

    assert b" 400 " in answer.splitlines()[0]
    assert "secret" not in caplog.text
