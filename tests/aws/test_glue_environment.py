"""The package works on top of what AWS Glue 6.0 itself installs, started by spark-submit with Glue's arguments.

`glue_6.0_base_requirements.txt` lists the packages of Glue's Python. This needs a package index and minutes;
`test_real_workflow` installs the same package into an empty environment.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.aws.glue_simulator import install_modules
from tests.aws.test_real_workflow import _package, _python
from tests.mock_api.server import MockApiServer

from brewhouse.aws.package import GLUE_PYTHON, read_package
from brewhouse.aws.session import Account
from brewhouse.engines import spark_s3a
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import JOBS, run_workflow
from brewhouse.settings import load

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("glue")]
Content = Callable[..., dict[str, list[tuple[object, ...]]]]
VERSION = "6.0"
BASE = Path(__file__).with_name("glue_6.0_base_requirements.txt")
SPARK = "pyspark==4.1.*"  # of Glue 6.0, which has it outside of its Python packages


@pytest.fixture(scope="module")
def glue(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Glue's environment, into which one call of pip installed our modules."""
    python = _python(GLUE_PYTHON[VERSION])
    if python is None:
        pytest.skip(f"needs Python {GLUE_PYTHON[VERSION]}")
    home = tmp_path_factory.mktemp("glue")
    package = _package(pytestconfig.cache.mkdir(f"glue-{VERSION}"), home / "package", VERSION)
    subprocess.run([python, "-m", "venv", home / "venv"], check=True)
    pip = [str(home / "venv" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "install", "--quiet", "-r", BASE, SPARK], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a package index: {done.stderr[-500:]}")
    modules = package / read_package(package).modules.name
    install_modules(pip, modules, home / "unpacked", "--no-index")
    return home


def test_the_zip_replaces_nothing_that_glue_itself_needs(glue: Path) -> None:
    check = (
        "import boto3, pandas, pyarrow, numpy, brewhouse.aws, pyiceberg; print(pandas.DataFrame({'a': [1]}).sum()['a'])"
    )
    done = subprocess.run([glue / "venv/bin/python", "-I", "-c", check], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


@pytest.fixture
def s3a(glue: Path, account: Account, small_spark: Mapping[str, str]) -> list[str]:
    """Arguments by which Spark has S3A, as in Glue, whose `s3://` is S3A too."""
    assert account.region
    [jars] = glue.glob("venv/lib/python*/site-packages/pyspark/jars")
    config = spark_s3a.settings(jars) | {
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.jars.ivy": str(Path.home() / ".ivy2.5.2"),  # fetched once per machine
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.extraJavaOptions": small_spark["JDK_JAVA_OPTIONS"],
    }
    return [word for name, value in config.items() for word in ("--conf", f"{name}={value}")]


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_the_script_runs_under_spark_submit_with_glues_arguments(
    glue: Path, account: Account, s3a: list[str], tmp_path: Path, content: Content, engine: str
) -> None:
    place = {"LocationConstraint": account.region}
    account.client("s3").create_bucket(Bucket=f"glue-{account.number}", CreateBucketConfiguration=place)
    lake = Lake.at(f"s3://glue-{account.number}/lake")
    environment = {
        name: value for name, value in os.environ.items() if name.startswith("AWS_") and name != "AWS_REGION"
    }
    environment |= {"PATH": f"{glue}/venv/bin:/usr/bin:/bin", "HOME": str(tmp_path), "SPARK_LOCAL_IP": "127.0.0.1"}
    with MockApiServer(generate(60, unusable=2)) as source:
        for job in JOBS:
            ours = {
                "--job": job,
                "--lake": str(lake.root),
                "--catalog-database-prefix": "brewhouse",
                "--engine": engine,
                "--source-url": source.url,
                "--aws-region": account.region,
                "--retries": "1",
            }
            of_glue = {
                "--job-bookmark-option": "job-bookmark-disable",
                "--TempDir": f"s3://aws-glue-assets-{account.number}-{account.region}/temporary/",
                "--JOB_ID": "j_" + "1" * 64,
                "--JOB_RUN_ID": "jr_" + str(JOBS.index(job)) * 64,
                "--JOB_NAME": f"brew-{job}",
                "--WORKFLOW_NAME": "brew",
                "--WORKFLOW_RUN_ID": "wr_" + "1" * 64,
                "--enable-metrics": "true",
                "--additional-python-modules": "s3://x/modules-python3.13.gluewheels.zip",
            }
            words = [word for pair in {**of_glue, **ours}.items() for word in pair]
            script = str(glue / "package/glue_job.py")
            submit = [str(glue / "venv/bin/spark-submit"), "--master", "local[2]", *s3a, script]
            done = subprocess.run(
                [*submit, *words], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
            )
            assert done.returncode == 0, f"{job}: {done.stdout[-1500:]} {done.stderr[-3000:]}"
        local = Lake(tmp_path / "local")
        run_workflow(local, load({"source_url": source.url}, environ={}))
    assert content(lake) == content(local)
