"""An empty AWS account of an emulator for each test, and a small package to deploy there."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import boto3
import msgspec
import pytest
from tests.aws import emulator
from tests.aws.cloud import STACK, Cloud

from brewhouse.aws import stacks
from brewhouse.aws.functions import clients
from brewhouse.aws.package import MANIFEST, PackageFile, PackageManifest, write_functions
from brewhouse.aws.session import Account, open_account
from brewhouse.aws.stacks import get_stack
from brewhouse.aws.template import template
from brewhouse.cli.main import main

Call = Callable[..., tuple[int, str, str]]
Package = Callable[..., Path]
EnterAccount = Callable[[pytest.MonkeyPatch, str, Path], str]


@pytest.fixture
def account(aws_url: str, enter_account: EnterAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    """An empty account, whose credentials the process uses."""
    enter_account(monkeypatch, aws_url, tmp_path)
    monkeypatch.setattr(stacks, "POLL_S", 0.05)
    return open_account()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `brewhouse aws` with arguments; returns exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["brewhouse", "aws", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        output = capsys.readouterr()
        assert isinstance(code, int)
        return code, output.out, output.err

    return run


ARTEFACTS = {
    "glue_job.py": b"print('a script')",
    "modules-python3.13.gluewheels.zip": b"some wheels",
}


def _pack(
    folder: Path, stack_template: str, artefacts: Mapping[str, bytes] = ARTEFACTS, change: Callable[[str], str] = str
) -> Path:
    folder.mkdir(exist_ok=True)
    write_functions(folder / "functions.zip")
    code = (folder / "functions.zip").read_bytes()
    content = {**artefacts, "functions.zip": code, "stack.json": change(stack_template).encode()}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    script, modules, functions, stack = (
        PackageFile(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in content.items()
    )
    manifest = PackageManifest(
        glue_version="6.0",
        lock_sha256="",
        script=script,
        modules=modules,
        functions=functions,
        template=stack,
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """Make a package with the part of the template that the emulator supports, and small files."""
    supported, _ = emulator.split_unsupported(template())
    return partial(_pack, tmp_path / "package", supported)


@pytest.fixture
def deploy(call: Call, package: Package) -> Call:
    """Deploy a package into the account without confirmation."""

    def run(*arguments: object, **changes: object) -> tuple[int, str, str]:
        return call("deploy", "--stack", STACK, "--packaged", "--folder", package(**changes), "--yes", *arguments)

    return run


@pytest.fixture
def deployed(account: Account, deploy: Call) -> Account:
    """An account with the stack, and the resources that the emulator's CloudFormation does not support."""
    code, _, err = deploy()
    assert (code, err) == (0, "")
    emulator.create_unsupported(account.session, emulator.split_unsupported(template())[1], STACK)
    return account


@pytest.fixture(scope="module")
def one_cloud(
    strict_aws_url: str,
    enter_account: EnterAccount,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cloud]:
    """The stack in an account that evaluates policies; the process may do everything."""
    folder = tmp_path_factory.mktemp("cloud")
    with pytest.MonkeyPatch.context() as patch:
        enter_account(patch, strict_aws_url, folder)
        patch.setattr(stacks, "POLL_S", 0.05)
        account = open_account()
        supported, _ = emulator.split_unsupported(template())
        packed = _pack(folder / "package", supported, change=emulator.without_tls)
        arguments = ["deploy", "--stack", STACK, "--packaged", "--folder", str(packed), "--yes"]
        patch.setattr(sys, "argv", ["brewhouse", "aws", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        outputs = get_stack(account, STACK).outputs
        cloud = Cloud(
            account=account,
            bucket=outputs["Bucket"],
            queue=outputs["EventQueue"],
            dead_letters=outputs["DeadLetterQueue"],
            alerts=outputs["AlertTopic"],
            url=strict_aws_url,
        )
        cloud.archives(enabled=False)
        _allow_as_on_aws(cloud)
        environment = {
            "STACK": STACK,
            "BUCKET": cloud.bucket,
            "DEAD_LETTER_QUEUE": cloud.dead_letters,
            "ALERT_TOPIC": cloud.alerts,
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)  # it caches the credentials of another module's account
        clients._create.cache_clear()
        yield cloud


def _allow_as_on_aws(cloud: Cloud) -> None:
    """Allow the functions what the emulator refuses: it evaluates a workflow as a table, a log stream as its group."""
    at = f"{cloud.account.region}:{cloud.account.number}"
    read_log = ("logs:GetLogEvents", f"arn:aws:logs:{at}:log-group:/aws-glue/{STACK}/output")
    read_workflow = ("glue:GetWorkflow", f"arn:aws:glue:{at}:table/{STACK}")
    for role, allowed in {"ArchiverRole": [read_log], "NotifierRole": [read_log, read_workflow]}.items():
        statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in allowed]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        name = cloud.resource(role)
        cloud.client("iam").put_role_policy(RoleName=name, PolicyName="emulator", PolicyDocument=policy)


@pytest.fixture
def cloud(one_cloud: Cloud) -> Cloud:
    """The stack, without events and messages."""
    one_cloud.clear()
    return one_cloud
