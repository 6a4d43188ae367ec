"""The check of the SDK's names finds what core/worker uses, and what a release lacks."""

import pytest

from tools import sdk_names
from tools.sdk_names import Use, problem, uses


def test_the_installed_sdk_has_every_name() -> None:
    assert sdk_names.main() == 0


def test_the_functions_of_the_job_loop_are_found_with_their_arguments() -> None:
    found = {use.name: use for path in sdk_names.SOURCES for use in uses(path.read_text()) if use.called}

    assert found["runpod.serverless.modules.rp_job.get_job"].positional == 2
    assert "runpod.serverless.modules.rp_job.get_stop_signals" in found
    assert "runpod.serverless.modules.rp_ping.Heartbeat" in found
    assert "runpod.serverless.modules.rp_fitness.run_fitness_checks" in found


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (Use("runpod.no_such_module", ("x",), 1), "no_such_module"),
        (Use("runpod.serverless.modules.rp_job", ("no_such_function",), 1), "no_such_function"),
        (Use("runpod.serverless.modules", ("rp_job", "get_job"), 1, 9, called=True), "too many positional"),
        (Use("runpod.serverless.modules", ("rp_job", "get_job"), 1, 1, ("new",), called=True), "unexpected keyword"),
    ],
)
def test_missing_names_and_parameters_are_reported(use: Use, says: str) -> None:
    assert says in (problem(use) or "")


def test_names_of_other_packages_are_ignored() -> None:
    assert uses("import os\nfrom pathlib import Path\nos.getcwd()\nPath()") == []
