"""Commands for an AWS account: aws package, deploy, key-policy, run, status, logs, query, estimate, verify, destroy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brewhouse.cli.options import AllOption, GroupedHelp, JsonOption, LimitOption
from brewhouse.cli.output import make_output_optional, print_json, print_result, print_rows
from brewhouse.cli.results import (
    FileOption,
    Format,
    FormatOption,
    OutputOption,
    SavedOption,
    parse_parameters,
    query_text,
    result_file,
    result_format,
    shown_rows,
    write,
)
from brewhouse.cli.stack_changes import GLUE_VERSION, change_stack, confirm, print_checks, print_events
from brewhouse.errors import UsageError

if TYPE_CHECKING:
    from brewhouse.aws.session import Account
    from brewhouse.aws.stacks import Stack

_FOLDER = Path("brewhouse-aws")

StackOption = Annotated[str, typer.Option("--stack", help="Name of the stack.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Skip all confirmations.")]
FolderOption = Annotated[Path, typer.Option("--folder", help="Folder of the package.")]
ParameterOption = Annotated[list[str] | None, typer.Option("--parameter", help="Parameter as Name=value; repeatable.")]

aws = typer.Typer(
    cls=GroupedHelp,
    name="aws",
    help="Brewhouse in an AWS account: S3, Glue and Athena from one CloudFormation stack.\n\n"
    "Uses AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL.\n\n"
    "Example: brewhouse aws deploy --run",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@aws.command()
def package(
    folder: FolderOption = _FOLDER,
    glue_version: Annotated[str, typer.Option("--glue-version", help="5.1 or 6.0.")] = GLUE_VERSION,
    as_json: JsonOption = False,
) -> None:
    """Build the package of the stack: template, script, wheel and dependencies, with checksums.

    Example: brewhouse aws package --glue-version 5.1
    """
    from brewhouse.aws.package import make_package

    files = make_package(folder, glue_version).uploads
    make_output_optional()
    rows = [{"file": str(folder / f.name), "bytes": f.size_bytes, "sha256": f.sha256} for f in files]
    print_result(rows, as_json=as_json)


@aws.command()
def deploy(
    stack: StackOption = "brewhouse",
    parameter: ParameterOption = None,
    folder: FolderOption = _FOLDER,
    packaged: Annotated[bool, typer.Option("--packaged", help="Use the existing package of the folder.")] = False,
    first_run: Annotated[bool, typer.Option("--run", help="Then run the workflow and verify its row counts.")] = False,
    yes: YesOption = False,
) -> None:
    """Create or update the stack: show the changes, confirm, follow the deployment, check the result.

    Example: brewhouse aws deploy --run --parameter RunCrawler=false
    """
    from brewhouse.aws.deploy import stack_checks, start_triggers, validate_stack_name
    from brewhouse.aws.monitoring import monitoring_checks
    from brewhouse.aws.package import read_package
    from brewhouse.aws.stacks import get_stack
    from brewhouse.aws.template import check_parameters, template
    from brewhouse.aws.verify import row_count_checks

    validate_stack_name(stack)
    given = parse_parameters(parameter)
    existing = read_package(folder) if packaged else None
    check_parameters(given, (folder / existing.template.name).read_text("utf-8") if existing else template())
    with _account() as account:
        changed = change_stack(account, stack, folder, existing, given, yes=yes)
        for name in start_triggers(account, stack):
            print(f"started trigger {name}, which was inactive")
            changed = True
        deployed = get_stack(account, stack)
        print_checks([*stack_checks(account, deployed), *monitoring_checks(account, deployed)])
        if first_run:
            workflow_run = _run_workflow(account, stack, wait=True)
            print_checks(row_count_checks(account, deployed, workflow_run))
            print("Next: `brewhouse aws query --saved breweries_by_country`.")
    if changed and not first_run:
        print("Next: `brewhouse aws run --wait`, then `brewhouse aws query --saved breweries_by_country`.")


@aws.command("key-policy")
def print_key_policy(stack: StackOption = "brewhouse") -> None:
    """Print the key policy that KmsKeyArn needs; `deploy` compares it with the key's before it changes anything.

    Example: brewhouse aws key-policy > policy.json
    """
    from brewhouse.aws.preflight import key_policy

    with _account() as account:
        print_json(key_policy(account, stack))


@aws.command()
def run(
    stack: StackOption = "brewhouse",
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end; exit codes as of `run`.")] = False,
) -> None:
    """Start the workflow now instead of waiting for its schedule.

    Example: brewhouse aws run --wait
    """
    with _deployed(stack) as (account, _):
        _run_workflow(account, stack, wait=wait)


@aws.command()
def status(stack: StackOption = "brewhouse", as_json: JsonOption = False) -> None:
    """Show the stack, its triggers, the last run of each job, alarms, queues and alert receivers.

    Example: brewhouse aws status --json
    """
    from brewhouse.aws.deploy import triggers
    from brewhouse.aws.glue_workflow import last_job_runs
    from brewhouse.aws.monitoring import alarms, queue_depths, subscribers

    with _deployed(stack) as (account, found):
        sections: dict[str, list[dict[str, Any]]] = {
            "triggers": [
                {"trigger": each["Name"], "state": each["State"].lower(), "schedule": each.get("Schedule", "")}
                for each in triggers(account, stack)
            ],
            "jobs": [
                {"job": step.name, "state": step.state.lower(), "seconds": step.seconds, "message": step.message}
                for step in last_job_runs(account, stack)
            ],
            "alarms": alarms(account, found),
            "queues": queue_depths(account, found),
            "alerts": subscribers(account, found),
        }
    if as_json:
        print_json({"stack": stack, "status": found.status, "outputs": found.outputs, **sections})
        return
    print(f"stack {stack} in {account.number}, {account.region}: {found.status.lower()}")
    print_rows([{"output": name, "value": value} for name, value in sorted(found.outputs.items())])
    for rows in sections.values():
        print_rows(rows)


@aws.command()
def logs(
    job: Annotated[str, typer.Argument(help="extract, transform, aggregate or maintain.")],
    stack: StackOption = "brewhouse",
    run_id: Annotated[str | None, typer.Option("--run", help="Id of a job run or retry. Default: the last")] = None,
    executors: Annotated[bool, typer.Option("--executors", help="Also the logs of Spark's executors.")] = False,
) -> None:
    """Print what a job's last run wrote to standard output and error.

    Example: brewhouse aws logs transform
    """
    from brewhouse.aws.glue_workflow import logs as read_logs

    with _account() as account:
        for line in read_logs(account, stack, job, run_id, executors=executors):
            print(line)


@aws.command()
def query(
    sql: Annotated[str | None, typer.Argument(help="A SELECT in Athena's SQL.")] = None,
    saved: SavedOption = None,
    stack: StackOption = "brewhouse",
    file: FileOption = None,
    output_format: FormatOption = None,
    output: OutputOption = None,
    limit: LimitOption = None,
    show_all: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Query the tables with Athena; table names have their zone, such as gold.breweries_by_location.

    Scanned bytes and cost are printed on standard error.

    Example: brewhouse aws query --saved top_cities
    """
    chosen = result_format(output_format, output, as_json=as_json)
    rows = shown_rows(limit, show_all=show_all, as_data=output is not None or chosen not in {"table", "lines"})
    query_on_athena(query_text(sql, saved, file), stack, chosen, output, rows)


def query_on_athena(sql: str, stack: str, output_format: Format, output: Path | None, limit: int | None) -> None:
    """Run a query with Athena and write its result."""
    from brewhouse.aws.athena import run_query

    with _deployed(stack) as (account, deployed):
        result = run_query(account, deployed, sql)
    with result_file(output_format, output) as file:
        write(result.relation(), output_format, file, limit)
    print(f"{result.scanned_bytes} bytes scanned, {result.cost_usd:.6f} USD", file=sys.stderr)


@aws.command()
def estimate(
    parameter: ParameterOption = None,
    runs: Annotated[int, typer.Option("--runs", min=0, help="Workflow runs per month.")] = 30,
    minutes: Annotated[float, typer.Option("--minutes", min=1, help="Minutes per job, including its start.")] = 2,
    queries: Annotated[int, typer.Option("--queries", min=0, help="Queries per month.")] = 300,
    stored_gb: Annotated[float, typer.Option("--stored-gb", min=0, help="Gigabytes in the bucket.")] = 1,
    region: Annotated[str, typer.Option(envvar="AWS_REGION", help="Region of the Glue jobs.")] = "us-east-1",
    as_json: JsonOption = False,
) -> None:
    """Estimate the monthly cost by item; needs no account.

    Example: brewhouse aws estimate --runs 30 --parameter RunCrawler=false
    """
    from brewhouse.aws.functions.job_runs import prices
    from brewhouse.aws.prices import estimate as estimate_cost
    from brewhouse.aws.template import check_parameters, defaults, template

    given, p = parse_parameters(parameter), prices()
    check_parameters(given, template())
    whole = {**defaults(), **given}
    rows = estimate_cost(whole, region, runs=runs, minutes_per_job=minutes, queries=queries, stored_gb=stored_gb)
    priced = region if region in p["glue_dpu_hour"] else "us-east-1"
    is_derived = priced != "us-east-1" and whole["GlueVersion"] in p["glue_discount"]
    if as_json:
        print_json({"as_of": p["as_of"], "region": priced, "derived": is_derived, "parts": rows})
        return
    print_rows(rows)
    print(f"List prices of {p['as_of']} in US dollars: Glue jobs in {priced}, all else in us-east-1.")
    if priced != region:
        print(f"The price of {region} is not known here.")
    if is_derived:
        print(f"The price of the jobs is derived: that of Glue 5.1 in {priced}, less 30 %, as AWS announced for 6.0.")
    print(f"Source: {p['source']}.")


@aws.command()
def verify(
    stack: StackOption = "brewhouse",
    breaks: Annotated[
        bool, typer.Option("--break", help="Then let extract fail, and wait for its event, alert and log lines.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option("--record", help="Folder for AWS's responses, without data of the account.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what only a real account can show; costs at most a cent for Athena queries.

    --break starts one failing job run, for two cents, and sends an alert to the subscribers.

    Example: brewhouse aws verify --break
    """
    from brewhouse.aws.recording import recording
    from brewhouse.aws.verify import failure_drill
    from brewhouse.aws.verify import verify as run_checks

    with _deployed(stack) as (account, deployed), recording(account, deployed, record) if record else nullcontext():
        found = chain(run_checks(account, deployed), failure_drill(account, deployed) if breaks else ())
        print_json(list(found)) if as_json else print_checks(found)


@aws.command()
def destroy(
    stack: StackOption = "brewhouse",
    with_data: Annotated[bool, typer.Option("--with-data", help="Also delete the lake; asks twice.")] = False,
    yes: YesOption = False,
) -> None:
    """Delete the stack; keeps the lake unless --with-data is given.

    Example: brewhouse aws destroy
    """
    from brewhouse.aws.deploy import bucket_exists, bucket_name, databases_of, queues_of, remove_bucket, remove_queues
    from brewhouse.aws.stacks import delete_stack, find_stack

    with _account() as account:
        found = find_stack(account, stack)
        bucket = found.parameters["BucketName"] if found else bucket_name(account, stack)
        data = [bucket] if bucket_exists(account, bucket) else []
        databases = databases_of(account, bucket)
        queues = [url.rsplit("/", 1)[-1] for url in queues_of(account, stack)]
        if not found and not (with_data and (data or databases or queues)):
            what = f"Account {account.number} has no stack {stack} in {account.region}."
            raise UsageError(what, hint="Check --stack, AWS_REGION and AWS_PROFILE.")
        confirm(f"Delete the stack {stack} in account {account.number}, {account.region}?", yes=yes)
        if with_data:
            targets = ", ".join([*(f"s3://{name}" for name in data), *databases, *queues]) or "nothing"
            confirm(f"Permanently delete the lake with all object versions: {targets}?", yes=yes)
        if found:
            print_events(delete_stack(account, found))
        if with_data:
            for name in databases:
                account.client("glue").delete_database(Name=name)
            removed = remove_bucket(account, bucket) if data else 0
            remove_queues(account, stack)
            print(f"Deleted the lake: {removed} objects and versions, {len(databases)} databases.")
        else:
            print(f"Kept: s3://{bucket}, and databases and queues: {', '.join([*databases, *queues]) or '(none)'}.")
            print("`brewhouse aws deploy` uses them again; `brewhouse aws destroy --with-data` deletes them.")


@contextmanager
def _deployed(stack: str) -> Iterator[tuple[Account, Stack]]:
    """Open the AWS account and a stack in it."""
    from brewhouse.aws.stacks import get_stack

    with _account() as account:
        yield account, get_stack(account, stack)


@contextmanager
def _account() -> Iterator[Account]:
    """Open the AWS account and translate the errors of its services."""
    from brewhouse.aws.session import open_account, translated_aws_errors

    account = open_account()
    with translated_aws_errors():
        yield account


def _run_workflow(account: Account, stack: str, *, wait: bool) -> str:
    """Start the workflow and return the id of its run, after its end if `wait` is set."""
    from brewhouse.aws.glue_workflow import follow, start

    make_output_optional()
    run_id = start(account, stack)
    print(f"started workflow run {run_id}")
    if wait:
        for step in follow(account, stack, run_id):
            seconds = f" ({step.seconds:.0f} s)" if step.seconds is not None else ""
            print(f"{step.name}: {step.state.lower()}{seconds} {step.message}".rstrip(), flush=True)
            if step.is_crawler and step.has_failed:
                print(
                    "warning: the crawler failed; no job depends on it. Its log group: /aws-glue/crawlers", flush=True
                )
        print("every job succeeded")
    return run_id
