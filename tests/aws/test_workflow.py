"""The workflow as it is deployed, played: every name, path and package must be right, with nothing to lean on."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.aws.glue_player import GluePlayer

from brewhouse.aws.session import Account
from brewhouse.errors import BrewhouseError

Call = Callable[..., tuple[int, str, str]]
Play = Callable[..., GluePlayer]

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
    """A script, a project and the package it needs, as small as can be."""
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("wheels/requirements.txt", "needed==1.0\n" if complete else "")
        if complete:
            archive.writestr("wheels/needed-1.0-py3-none-any.whl", _wheel("needed", ""))
    return {
        "glue_job.py": SCRIPT.encode(),
        "project-1.0-py3-none-any.whl": _wheel("project", f"FAILS = {fails!r}", "needed"),
        "dependencies-python3.13.gluewheels.zip": bundle.getvalue(),
    }


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the player makes its environments; the same artefacts share one."""
    return tmp_path_factory.mktemp("glue")


@pytest.fixture
def play(account: Account, deploy: Call, environments: Path) -> Play:
    """Deploy some artefacts, and give a player of the workflow."""

    def run(artefacts: dict[str, bytes], *arguments: str) -> GluePlayer:
        code, _, err = deploy(*arguments, artefacts=artefacts)
        assert (code, err) == (0, "")
        return GluePlayer(account, "brew", environments, {"6.0": Path(sys.executable)})

    return run


def test_the_workflow_runs_in_order_with_the_arguments_of_the_stack(account: Account, play: Play) -> None:
    player = play(_artefacts())
    states = player.play()
    assert list(states) == ["brew-extract", "brew-transform", "brew-aggregate", "brew-raw"]
    assert set(states.values()) == {"SUCCEEDED"}
    for run, job in zip(player.runs, ("extract", "transform", "aggregate"), strict=True):
        said = json.loads(run.output)
        argv = dict(zip(said["argv"][::2], said["argv"][1::2], strict=True))
        assert argv["--job"] == job
        assert argv["--lake"] == f"s3://brew-{account.number}-{account.region}/lake"
        assert argv["--catalog-database-prefix"] == "brewhouse"
        assert set(said["environment"]) <= {"PATH", "HOME", "LC_CTYPE"}
    assert player.run_job("brew-maintain") == "SUCCEEDED"


def test_a_job_that_fails_is_tried_once_more_and_stops_the_rest(play: Play) -> None:
    player = play(_artefacts(fails="transform"))
    assert player.play() == {"brew-extract": "SUCCEEDED", "brew-transform": "FAILED"}
    assert [run.name for run in player.runs] == ["brew-extract", "brew-transform", "brew-transform"]
    assert "it failed" in player.runs[-1].output


def test_without_the_crawler_the_workflow_ends_with_aggregate(play: Play) -> None:
    assert list(play(_artefacts(), "--parameter", "RunCrawler=false").play())[-1] == "brew-aggregate"


def test_a_package_left_out_of_the_bundle_is_found(play: Play) -> None:
    player = play(_artefacts(complete=False))
    with pytest.raises(BrewhouseError, match="needed"):
        player.play()


def test_an_artefact_that_is_not_there_is_found(account: Account, play: Play) -> None:
    from botocore.exceptions import ClientError

    player = play(_artefacts())
    script = account.client("glue").get_job(JobName="brew-extract")["Job"]["Command"]["ScriptLocation"]
    bucket, key = script.removeprefix("s3://").split("/", 1)
    account.client("s3").delete_object(Bucket=bucket, Key=key)
    with pytest.raises(ClientError, match="404"):
        player.play()


def test_a_trigger_that_is_not_active_is_found(account: Account, play: Play) -> None:
    player = play(_artefacts())
    account.client("glue").stop_trigger(Name="brew-after-transform")
    with pytest.raises(AssertionError, match="brew-after-transform would never fire"):
        player.play()


def test_a_trigger_that_names_the_wrong_job_is_found(account: Account, play: Play) -> None:
    player = play(_artefacts())
    account.client("glue").delete_job(JobName="brew-aggregate")
    with pytest.raises(account.client("glue").exceptions.EntityNotFoundException):
        player.play()
