"""An AWS account of its own for each test, on an emulator, and a small package to deploy there."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from brewhouse.aws import stacks
from brewhouse.aws.package import MANIFEST, File, Manifest
from brewhouse.aws.session import Account, open_account
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


@pytest.fixture
def package(emulator: ModuleType, tmp_path: Path) -> Package:
    """Make a package with the production template, as far as the emulator takes it, and small files."""
    some = {
        "glue_job.py": b"print('a script')",
        "brewhouse-0.1.0-py3-none-any.whl": b"a wheel",
        "dependencies-python3.13.gluewheels.zip": b"some wheels",
    }
    functions = tmp_path / "functions.zip"
    write_functions(functions)

    def make(artefacts: Mapping[str, bytes] = some, change: Callable[[str], str] = str) -> Path:
        folder = tmp_path / "package"
        folder.mkdir(exist_ok=True)
        left, _ = emulator.without_refused(template())
        content = {**artefacts, "functions.zip": functions.read_bytes(), "stack.json": change(left).encode()}
        for name, data in content.items():
            (folder / name).write_bytes(data)
        script, wheel, dependencies, code, stack = (
            File(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in content.items()
        )
        manifest = Manifest(
            glue_version="6.0",
            lock_sha256="",
            script=script,
            wheel=wheel,
            dependencies=dependencies,
            functions=code,
            template=stack,
        )
        (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
        return folder

    return make


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
