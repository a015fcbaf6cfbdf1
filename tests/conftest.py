"""Settings of every process that runs tests."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def only_tests_are_measured() -> None:
    """Coverage measures only the test process, not the operators that tests start: they would take half as long
    again.
    """
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    os.environ.pop("COVERAGE_PROCESS_START", None)
