"""`brewhouse aws`: commands without an account, and the errors of an account without a stack."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Call
    from tests.conftest import EnterAccount

COMMANDS_ON_A_STACK = (
    ("run",),
    ("status",),
    ("status", "--json"),
    ("query", "SELECT 1"),
    ("query", "--saved", "top_cities", "--format", "csv"),
    ("verify",),
    ("destroy", "--yes"),
    ("destroy", "--yes", "--with-data"),
)


@pytest.fixture
def _account(aws_url: str, enter_account: EnterAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in an empty account of an emulator."""
    enter_account(monkeypatch, aws_url, tmp_path)


def monthly_cost(call: Call, *options: str) -> float:
    rows = json.loads(call("aws", "estimate", "--json", *options).out)["parts"]
    return float(next(value for value in rows[-1].values() if isinstance(value, int | float)))


def test_an_estimate_needs_no_account(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    done = call("aws", "estimate", "--json")
    assert (done.code, done.err) == (0, "")
    assert f"List prices of {json.loads(done.out)['as_of']}" in call("aws", "estimate").out


def test_more_runs_queries_minutes_and_data_cost_more(call: Call) -> None:
    default = monthly_cost(call)
    assert monthly_cost(call, "--runs", "0", "--queries", "0") < default < monthly_cost(call, "--runs", "300")
    for option in ("--stored-gb", "--minutes", "--queries"):
        assert default < monthly_cost(call, option, "100000")


@pytest.mark.parametrize("command", ["estimate", "deploy"])
@pytest.mark.parametrize("parameter", ["nonsense", ""])
def test_a_parameter_without_a_value_is_wrong_usage(call: Call, command: str, parameter: str) -> None:
    done = call("aws", command, "--parameter", parameter)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"brewhouse: {parameter!r} is not a parameter. Write it as name=value.\n"


@pytest.mark.parametrize("option", ["--runs", "--minutes", "--queries", "--stored-gb"])
def test_a_negative_amount_is_wrong_usage(call: Call, option: str) -> None:
    done = call("aws", "estimate", option, "-1")
    assert (done.code, done.out) == (2, "")
    assert option in done.err


@pytest.mark.parametrize("command", ["aws query", "query --on athena"])
@pytest.mark.parametrize("arguments", [(), ("SELECT 1", "--saved", "top_cities"), ("--saved", "no_such_query")])
def test_a_query_is_checked_before_the_account_is_opened(
    call: Call, monkeypatch: pytest.MonkeyPatch, command: str, arguments: tuple[str, ...]
) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    done = call(*command.split(), *arguments)
    assert (done.code, done.out) == (2, "")
    assert "saved" in done.err


@pytest.mark.parametrize("arguments", [("status",), ("run",), ("logs", "extract"), ("verify",), ("query", "SELECT 1")])
def test_a_missing_region_is_an_error_with_the_setting(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    done = call("aws", *arguments)
    assert (done.code, done.out) == (2, "")
    assert "AWS_REGION" in done.err


@pytest.mark.parametrize(
    ("library", "command"),
    [
        *(("boto3", each) for each in ("deploy", "key-policy", "run", "status", "logs extract", "query x", "verify")),
        *(("boto3", "destroy"), ("botocore", "status"), ("botocore", "verify")),
        *(("yaml", each) for each in ("package", "deploy", "estimate")),
    ],
)
def test_every_command_says_what_it_needs(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, library: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == library or name.startswith("brewhouse.aws")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    done = call("aws", *command.split())
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(
        f"brewhouse: `brewhouse aws` needs {library}.*, which is not installed. Run `.*aws.*`.\n", done.err
    )


@pytest.mark.usefixtures("_account")
@pytest.mark.parametrize("arguments", COMMANDS_ON_A_STACK, ids=" ".join)
def test_a_missing_stack_is_an_error_that_names_it(call: Call, arguments: tuple[str, ...]) -> None:
    done = call("aws", *arguments, "--stack", "absent")
    assert (done.code, done.out) == (2 if "destroy" in arguments else 1, "")
    assert done.err.startswith("brewhouse: ")
    assert "absent" in done.err


@pytest.mark.usefixtures("_account")
def test_a_query_on_athena_uses_the_stack_named_brewhouse(call: Call) -> None:
    done = call("query", "SELECT 1", "--on", "athena")
    assert (done.code, done.out) == (1, "")
    assert "brewhouse" in done.err.removeprefix("brewhouse: ")


@pytest.mark.usefixtures("_account")
def test_a_deployment_of_an_existing_package_needs_one(call: Call, tmp_path: Path) -> None:
    done = call("aws", "deploy", "--packaged", "--folder", tmp_path / "none", "--yes")
    assert (done.code, done.out) == (2, "")
    assert str(tmp_path / "none") in done.err


@pytest.mark.usefixtures("_account")
@pytest.mark.parametrize("name", ["UPPER_case", "x" * 100, "1st"])
def test_an_invalid_stack_name_is_wrong_usage(call: Call, name: str) -> None:
    done = call("aws", "deploy", "--stack", name)
    assert (done.code, done.out) == (2, "")
    assert name in done.err


def test_an_unknown_glue_version_is_wrong_usage(call: Call, tmp_path: Path) -> None:
    done = call("aws", "package", "--glue-version", "4.0", "--folder", tmp_path / "package")
    assert (done.code, done.out) == (2, "")
    assert "5.1" in done.err
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("Colour=red", "Unknown parameter Colour. Known: AlertEmail, "),
        ("GlueVersion=9", "GlueVersion must be one of 5.1, 6.0 (got '9')."),
        ("NumberOfWorkers=many", "NumberOfWorkers must be a whole number from 2 to 50 (got 'many')."),
        ("NumberOfWorkers=-5", "NumberOfWorkers must be a whole number from 2 to 50 (got '-5')."),
    ],
)
def test_an_estimate_rejects_parameters_that_the_stack_would_reject(call: Call, parameter: str, message: str) -> None:
    done = call("aws", "estimate", "--parameter", parameter)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"brewhouse: {message}")
