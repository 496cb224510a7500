"""An AWS account of its own for each test, on an emulator, and a small package to deploy there."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import msgspec
import pytest

from brewhouse.aws import stacks
from brewhouse.aws.functions import clients
from brewhouse.aws.package import MANIFEST, PackageFile, PackageManifest
from brewhouse.aws.session import Account, open_account
from brewhouse.aws.stacks import get_stack
from brewhouse.aws.template import template
from brewhouse.aws.wheel import write_functions
from brewhouse.cli.main import main

STACK = "brew"

Call = Callable[..., tuple[int, str, str]]
Package = Callable[..., Path]
EnterAccount = Callable[[pytest.MonkeyPatch, str, Path], str]


@cache
def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def load() -> Callable[[str], ModuleType]:
    """Load a module that stands beside the tests, which are no package."""
    return _load


@pytest.fixture(scope="session")
def emulator() -> ModuleType:
    """The helpers of `emulator.py`."""
    return _load("emulator")


@pytest.fixture(scope="session", autouse=True)
def _read_the_models_of_services_once() -> Iterator[None]:
    """Each session reads them anew, which takes most of a command's time; a program has only one."""
    from botocore import session
    from botocore.loaders import create_loader

    loader = create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "create_loader", lambda *_: loader)
        yield


@pytest.fixture
def account(aws_url: str, enter_account: EnterAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    """An empty account, which the process works in."""
    enter_account(monkeypatch, aws_url, tmp_path)
    monkeypatch.setattr(stacks, "POLL_S", 0.05)
    return open_account()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `brewhouse aws` with these arguments; gives exit code, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["brewhouse", "aws", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as left:
            code = left.code or 0
        said = capsys.readouterr()
        assert isinstance(code, int)
        return code, said.out, said.err

    return run


SOME_ARTEFACTS = {
    "glue_job.py": b"print('a script')",
    "brewhouse-0.1.0-py3-none-any.whl": b"a wheel",
    "dependencies-python3.13.gluewheels.zip": b"some wheels",
}


def _pack(
    folder: Path, left: str, artefacts: Mapping[str, bytes] = SOME_ARTEFACTS, change: Callable[[str], str] = str
) -> Path:
    folder.mkdir(exist_ok=True)
    write_functions(folder / "functions.zip")
    code = (folder / "functions.zip").read_bytes()
    content = {**artefacts, "functions.zip": code, "stack.json": change(left).encode()}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    script, wheel, dependencies, functions, stack = (
        PackageFile(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in content.items()
    )
    manifest = PackageManifest(
        glue_version="6.0",
        lock_sha256="",
        script=script,
        wheel=wheel,
        dependencies=dependencies,
        functions=functions,
        template=stack,
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


@pytest.fixture
def package(emulator: ModuleType, tmp_path: Path) -> Package:
    """Make a package with the production template, as far as the emulator takes it, and small files."""
    left, _ = emulator.without_refused(template())
    return partial(_pack, tmp_path / "package", left)


@pytest.fixture
def deploy(call: Call, package: Package) -> Call:
    """Deploy a package into the account without being asked."""

    def run(*arguments: object, **changes: object) -> tuple[int, str, str]:
        return call("deploy", "--stack", STACK, "--packaged", "--folder", package(**changes), "--yes", *arguments)

    return run


@pytest.fixture
def deployed(account: Account, deploy: Call, emulator: ModuleType) -> Account:
    """An account with the stack in it, and what the emulator's CloudFormation refused."""
    code, _, err = deploy()
    assert (code, err) == (0, "")
    emulator.make_refused(account.session, emulator.without_refused(template())[1], STACK)
    return account


@dataclass
class Cloud:
    """A deployed stack, whose queue nobody empties unless `archives` is asked for.

    Attributes:
        account: It is in.
        bucket: Its bucket.
        queue: URL of the queue of events.
        dead_letters: URL of the dead-letter queue.
        alerts: ARN of the topic of alerts.
        url: Where its emulator answers.
    """

    account: Account
    bucket: str
    queue: str
    dead_letters: str
    alerts: str
    url: str

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3
        """Give a client of a service."""
        return self.account.client(service)

    def resource(self, name: str) -> str:
        """Give the physical id of a resource of the template."""
        found = self.client("cloudformation").describe_stack_resource(StackName=STACK, LogicalResourceId=name)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def archives(self, *, enabled: bool) -> None:
        """Have the deployed archiver take messages from the queue, or not."""
        self.client("lambda").update_event_source_mapping(UUID=self.resource("ArchiverMapping"), Enabled=enabled)

    def events(self) -> dict[str, dict[str, Any]]:
        """Read the archived events by their keys."""
        s3 = self.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="lake/events/")
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return {key: json.loads(s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys}

    def clear(self) -> None:
        """Take all events and messages away."""
        s3, sqs = self.client("s3"), self.client("sqs")
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix="lake/"):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if found:
                objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
                s3.delete_objects(Bucket=self.bucket, Delete={"Objects": objects})
        for queue in (self.queue, self.dead_letters):
            sqs.purge_queue(QueueUrl=queue)


@pytest.fixture(scope="module")
def one_cloud(
    strict_aws_url: str,
    enter_account: EnterAccount,
    emulator: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cloud]:
    """The stack in an account that asks who may do what; the process may do everything."""
    folder = tmp_path_factory.mktemp("cloud")
    with pytest.MonkeyPatch.context() as patch:
        enter_account(patch, strict_aws_url, folder)
        patch.setattr(stacks, "POLL_S", 0.05)
        account = open_account()
        left, _ = emulator.without_refused(template())
        packed = _pack(folder / "package", left, change=emulator.without_tls)
        words = ["deploy", "--stack", STACK, "--packaged", "--folder", str(packed), "--yes"]
        patch.setattr(sys, "argv", ["brewhouse", "aws", *words])
        with pytest.raises(SystemExit) as left_with:
            main()
        assert not left_with.value.code
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
        told = {
            "STACK": STACK,
            "BUCKET": cloud.bucket,
            "DEAD_LETTER_QUEUE": cloud.dead_letters,
            "ALERT_TOPIC": cloud.alerts,
        }
        for name, value in told.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the credentials of another module's account
        clients._create.cache_clear()
        yield cloud


@pytest.fixture
def cloud(one_cloud: Cloud) -> Cloud:
    """The stack, without events and messages."""
    one_cloud.clear()
    return one_cloud
