"""The deployed workflow runs from what is stored in the account, in an environment without other packages."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.aws.glue_simulator import GlueSimulator

from brewhouse.aws.session import Account
from brewhouse.errors import BrewhouseError

Call = Callable[..., tuple[int, str, str]]
Simulate = Callable[..., GlueSimulator]

SCRIPT = """
import json, os, sys
import needed, project
if "--job" in sys.argv and sys.argv[sys.argv.index("--job") + 1] == project.FAILS:
    sys.exit("it failed")
print(json.dumps({"argv": sys.argv[1:], "environment": sorted(os.environ)}))
"""


def _wheel(name: str, module: str, needs: str = "") -> bytes:
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{f'Requires-Dist: {needs}' if needs else ''}\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{name}.py", module)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


def _artefacts(fails: str = "nothing", *, complete: bool = True) -> dict[str, bytes]:
    """Return a minimal script, project and package that the project needs."""
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("wheels/requirements.txt", "needed==1.0\nproject==1.0\n" if complete else "project==1.0\n")
        archive.writestr("wheels/project-1.0-py3-none-any.whl", _wheel("project", f"FAILS = {fails!r}", "needed"))
        if complete:
            archive.writestr("wheels/needed-1.0-py3-none-any.whl", _wheel("needed", ""))
    return {
        "glue_job.py": SCRIPT.encode(),
        "modules-python3.13.gluewheels.zip": bundle.getvalue(),
    }


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the environments; the same artefacts share one."""
    return tmp_path_factory.mktemp("glue")


@pytest.fixture
def simulate(account: Account, deploy: Call, environments: Path) -> Simulate:
    """Deploy artefacts, and return a simulator of the workflow."""

    def run(artefacts: dict[str, bytes], *arguments: str) -> GlueSimulator:
        code, _, err = deploy(*arguments, artefacts=artefacts)
        assert (code, err) == (0, "")
        return GlueSimulator(account, "brew", environments, {"6.0": Path(sys.executable)})

    return run


def test_the_workflow_runs_in_order_with_the_arguments_of_the_stack(account: Account, simulate: Simulate) -> None:
    simulator = simulate(_artefacts())
    states = simulator.run()
    assert list(states) == ["brew-extract", "brew-transform", "brew-aggregate", "brew-raw"]
    assert set(states.values()) == {"SUCCEEDED"}
    for run, job in zip(simulator.runs, ("extract", "transform", "aggregate"), strict=True):
        printed = json.loads(run.output)
        argv = dict(zip(printed["argv"][::2], printed["argv"][1::2], strict=True))
        assert argv["--job"] == job
        assert argv["--lake"] == f"s3://brew-{account.number}-{account.region}/lake"
        assert argv["--catalog-database-prefix"] == "brewhouse"
        assert set(printed["environment"]) <= {"PATH", "HOME", "LC_CTYPE"}
    assert simulator.run_job("brew-maintain") == "SUCCEEDED"


def test_a_failed_job_is_retried_once_and_stops_the_workflow(simulate: Simulate) -> None:
    simulator = simulate(_artefacts(fails="transform"))
    assert simulator.run() == {"brew-extract": "SUCCEEDED", "brew-transform": "FAILED"}
    assert [run.name for run in simulator.runs] == ["brew-extract", "brew-transform", "brew-transform"]
    assert "it failed" in simulator.runs[-1].output


def test_without_the_crawler_the_workflow_ends_with_aggregate(simulate: Simulate) -> None:
    assert list(simulate(_artefacts(), "--parameter", "RunCrawler=false").run())[-1] == "brew-aggregate"


def test_a_package_missing_from_the_dependencies_fails_the_workflow(simulate: Simulate) -> None:
    simulator = simulate(_artefacts(complete=False))
    with pytest.raises(BrewhouseError, match="needed"):
        simulator.run()


def test_a_missing_artefact_fails_the_workflow(account: Account, simulate: Simulate) -> None:
    from botocore.exceptions import ClientError

    simulator = simulate(_artefacts())
    script = account.client("glue").get_job(JobName="brew-extract")["Job"]["Command"]["ScriptLocation"]
    bucket, key = script.removeprefix("s3://").split("/", 1)
    account.client("s3").delete_object(Bucket=bucket, Key=key)
    with pytest.raises(ClientError, match="404"):
        simulator.run()


def test_an_inactive_trigger_fails_the_workflow(account: Account, simulate: Simulate) -> None:
    simulator = simulate(_artefacts())
    account.client("glue").stop_trigger(Name="brew-after-transform")
    with pytest.raises(AssertionError, match="brew-after-transform would never fire"):
        simulator.run()


def test_a_trigger_of_a_deleted_job_fails_the_workflow(account: Account, simulate: Simulate) -> None:
    simulator = simulate(_artefacts())
    account.client("glue").delete_job(JobName="brew-aggregate")
    with pytest.raises(account.client("glue").exceptions.EntityNotFoundException):
        simulator.run()
