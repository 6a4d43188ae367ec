"""The command line, as a user runs it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from core.settings import load_endpoints
from localpod.__main__ import _with_http

ROOT = Path(__file__).parents[2]
ENDPOINTS = """
endpoints:
  echo:
    handler: tests.localpod.handlers.echo
    image: none
    cpu: {id: cpu5c, vcpu: 2}
    pools: [llm]
    scaler: {type: request_count, value: 1}
    workers: {min: 0, max: 1}
  other:
    handler: tests.localpod.handlers.crash
    image: none
    cpu: {id: cpu5c, vcpu: 2}
    scaler: {type: request_count, value: 1}
"""


@pytest.fixture
def endpoints(tmp_path):
    path = tmp_path / "endpoints.yaml"
    path.write_text(ENDPOINTS, encoding="utf-8")
    return path


def localpod(*arguments, **options):
    command = [sys.executable, "-m", "localpod", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **options)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def up(endpoints):
    """A running `python -m localpod up` with one warm worker, and its port."""
    port = free_port()
    command = [sys.executable, "-m", "localpod", "up", "--endpoints", endpoints, "--only", "echo", "--warm"]
    process = subprocess.Popen(
        [*command, "--port", str(port)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        wait(lambda: _workers(port))
        yield process, port
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def wait(holds, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.05)
    raise AssertionError("did not come true")


def _workers(port):
    try:
        state = httpx.get(f"http://127.0.0.1:{port}/localpod/state", headers={"Authorization": "x"}).json()
    except httpx.HTTPError:
        return None
    return [one["pid"] for one in state["endpoints"]["echo"]["processes"] if one["ready"]]


def group_of(pid):
    return subprocess.run(["pgrep", "-g", str(pid)], capture_output=True, check=False).stdout.split()


def test_run_sets_the_environment_and_passes_the_exit_code_through(endpoints):
    script = (
        "import json, os, httpx;"
        "base, key = os.environ['RUNPOD_ENDPOINT_BASE_URL'], os.environ['RUNPOD_API_KEY'];"
        "answer = httpx.post(base + '/echo/runsync', json={'input': {'a': 1}}, headers={'Authorization': key},"
        " timeout=30).json();"
        "print(json.dumps([answer['output']['echo'], os.environ['ORCHESTRATOR_LLM_ENDPOINT_IDS']]));"
        "raise SystemExit(7)"
    )
    done = localpod("run", "--endpoints", endpoints, "--", sys.executable, "-c", script)
    assert done.returncode == 7
    assert json.loads(done.stdout) == [{"a": 1}, "echo"]


def test_run_without_a_command_explains_its_usage(endpoints):
    done = localpod("run", "--endpoints", endpoints)
    assert done.returncode == 2
    assert "after `--`" in done.stderr


def test_run_with_an_unknown_command_reports_it(endpoints):
    done = localpod("run", "--endpoints", endpoints, "--", "no-such-program")
    assert done.returncode == 2
    assert "no-such-program can't be run" in done.stderr


def test_up_prints_its_urls_and_ctrl_c_ends_it_with_its_workers(up):
    process, port = up
    pid = _workers(port)[0]
    assert len(group_of(pid)) == 2
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert f"http://127.0.0.1:{port}/v2/echo/runsync" in printed
    assert "curl" in printed
    assert "without real security" in printed
    assert group_of(pid) == []


def test_workers_and_heartbeats_end_when_localpod_gets_sigkill(up):
    process, port = up
    pid = _workers(port)[0]
    assert len(group_of(pid)) == 2
    process.kill()
    process.wait()
    wait(lambda: not group_of(pid))


def test_second_localpod_on_the_same_port_reports_that_it_is_in_use(up, endpoints):
    _, port = up
    done = localpod("up", "--endpoints", endpoints, "--port", port)
    assert done.returncode == 2
    assert f"port {port} is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_fault_and_state_commands_reach_a_running_localpod(up):
    _, port = up
    at = ("--url", f"http://127.0.0.1:{port}")
    added = localpod("fault", "throttle", "--endpoint", "echo", "--operation", "run", "--times", 0, "--json", *at)
    assert [one["kind"] for one in json.loads(added.stdout)] == ["throttle"]
    refused = httpx.post(f"http://127.0.0.1:{port}/v2/echo/run", json={"input": 1}, headers={"Authorization": "x"})
    assert refused.status_code == 429
    state = json.loads(localpod("state", "--json", *at).stdout)
    assert state["faults"][0]["fired"] == 1
    assert "1 idle" in localpod("state", *at).stdout
    assert localpod("fault", "--clear", *at).stdout.strip() == "no faults"


def test_fault_without_a_running_localpod_explains_how_to_start_it():
    done = localpod("fault", "--list", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert "python -m localpod up" in done.stderr


def test_unknown_endpoint_cannot_be_chosen(endpoints):
    done = localpod("up", "--endpoints", endpoints, "--only", "echo,nix")
    assert done.returncode == 2
    assert "no endpoint nix; it has echo, other" in done.stderr


def test_invalid_endpoints_file_is_reported_in_one_sentence(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("endpoints: {a: {handler: x}}", encoding="utf-8")
    done = localpod("up", "--endpoints", path)
    assert done.returncode == 2
    assert "broken.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_output_of_workers_is_shown_on_request(endpoints):
    command = "import os, httpx; httpx.post(os.environ['RUNPOD_ENDPOINT_BASE_URL'] + '/echo/runsync',"
    command += " json={'input': {}}, headers={'Authorization': 'x'}, timeout=30)"
    done = localpod("run", "--logs", "--endpoints", endpoints, "--", sys.executable, "-c", command)
    assert done.returncode == 0
    assert any(line.split()[:1] == ["echo"] and "Started." in line for line in done.stderr.splitlines())


def test_importing_localpod_does_not_import_the_sdk():
    code = "import sys, localpod; print([name for name in ('runpod', 'torch', 'boto3') if name in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_up_adds_the_http_api_to_a_queue_orchestrator():
    shipped = load_endpoints().endpoints

    added = _with_http(shipped)["http"]

    assert added.load_balancer
    assert added.calls_others
    assert added.command[-1] == "http_api"


@pytest.mark.parametrize("names", [("llm", "zimage"), ("selfie",), ("orchestrator",), ("orchestrator", "llm")])
def test_up_without_orchestrator_or_all_pools_has_no_http_api(names):
    shipped = load_endpoints().endpoints

    assert set(_with_http({name: shipped[name] for name in names})) == set(names)
