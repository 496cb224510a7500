"""Commands about an AWS account: aws package, deploy, run, status, logs, query, estimate, verify, destroy."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brewhouse.cli.options import JsonOption
from brewhouse.cli.output import print_json, print_rows
from brewhouse.cli.results import Format, FormatOption, OutputOption, SavedOption, write
from brewhouse.errors import BrewhouseError, ChecksFailed, UsageError

if TYPE_CHECKING:
    from brewhouse.aws.deploy import DeploymentCheck
    from brewhouse.aws.package import PackageManifest
    from brewhouse.aws.session import Account
    from brewhouse.aws.stacks import ChangeSet, Stack, StackEvent

_FOLDER = Path("brewhouse-aws")
_GLUE_VERSION = "6.0"

StackOption = Annotated[str, typer.Option("--stack", help="Name of the stack.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
FolderOption = Annotated[Path, typer.Option("--folder", help="Where the package is made.")]
ParameterOption = Annotated[
    list[str] | None,
    typer.Option("--parameter", help="Name=value of a parameter of the stack; may be repeated.", show_default=False),
]

aws = typer.Typer(
    name="aws",
    help="Brewhouse in an AWS account: S3, Glue and Athena, from one CloudFormation stack.\n\n"
    "AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL are obeyed.\n\n"
    "Example: brewhouse aws deploy --run",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@aws.command()
def package(
    folder: FolderOption = _FOLDER,
    glue_version: Annotated[str, typer.Option("--glue-version", help="5.1 or 6.0.")] = _GLUE_VERSION,
    as_json: JsonOption = False,
) -> None:
    """Put all that the stack runs into a folder: template, script, wheel, dependencies, each with its checksum.

    Example: brewhouse aws package --glue-version 5.1
    """
    from brewhouse.aws.package import make_package

    manifest = make_package(folder, glue_version)
    rows = [
        {"file": str(folder / file.name), "bytes": file.size_bytes, "sha256": file.sha256} for file in manifest.uploads
    ]
    print_json(rows) if as_json else print_rows(rows)


@aws.command()
def deploy(
    stack: StackOption = "brewhouse",
    parameter: ParameterOption = None,
    folder: FolderOption = _FOLDER,
    packaged: Annotated[bool, typer.Option("--packaged", help="Take the folder's package as it is.")] = False,
    first_run: Annotated[
        bool, typer.Option("--run", help="Then run the workflow, and have Athena count what the run says it published.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Make or update the stack: shows what would change, asks, follows it, and proves that it will run.

    Example: brewhouse aws deploy --run --parameter RunCrawler=false
    """
    from brewhouse.aws.deploy import stack_checks, start_triggers, validate_stack_name
    from brewhouse.aws.monitoring import monitoring_checks
    from brewhouse.aws.row_counts import row_count_checks
    from brewhouse.aws.session import open_account, translated_aws_errors
    from brewhouse.aws.stacks import find_stack, get_stack

    validate_stack_name(stack)
    given = _parameters(parameter)
    account = open_account()
    with translated_aws_errors():
        before = _ready(account, find_stack(account, stack))
        manifest = _manifest(folder, given, before, packaged=packaged)
        changed = _change(account, stack, folder, manifest, given, before, yes=yes)
        for name in start_triggers(account, stack):
            print(f"trigger {name} was not active; it is started")
            changed = True
        made = get_stack(account, stack)
        _print_checks([*stack_checks(account, made), *monitoring_checks(account, made)])
        if first_run:
            workflow_run = _run_workflow(account, stack, wait=True)
            _print_checks(row_count_checks(account, made, workflow_run))
            print("Next: `brewhouse aws query --saved breweries_by_country`.")
    if changed and not first_run:
        print("Next: `brewhouse aws run --wait`, then `brewhouse aws query --saved breweries_by_country`.")


@aws.command()
def run(
    stack: StackOption = "brewhouse",
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; exit codes as of `run`.")] = False,
) -> None:
    """Start the workflow now, as its schedule does.

    Example: brewhouse aws run --wait
    """
    from brewhouse.aws.session import open_account, translated_aws_errors
    from brewhouse.aws.stacks import get_stack

    account = open_account()
    with translated_aws_errors():
        get_stack(account, stack)
        _run_workflow(account, stack, wait=wait)


@aws.command()
def status(stack: StackOption = "brewhouse", as_json: JsonOption = False) -> None:
    """Show the stack, its triggers, the last run of each job, its alarms, and what waits in its queues.

    Example: brewhouse aws status --json
    """
    from brewhouse.aws.deploy import triggers
    from brewhouse.aws.glue_workflow import last_job_runs
    from brewhouse.aws.monitoring import alarms, queue_depths, subscribers
    from brewhouse.aws.session import open_account, translated_aws_errors
    from brewhouse.aws.stacks import get_stack

    account = open_account()
    with translated_aws_errors():
        found = get_stack(account, stack)
        watching: dict[str, list[dict[str, Any]]] = {
            "alarms": [dict(row) for row in alarms(account, found)],
            "queues": [dict(row) for row in queue_depths(account, found)],
            "alerts": subscribers(account, found),
        }
        active = [
            {"trigger": each["Name"], "state": each["State"].lower(), "schedule": each.get("Schedule", "")}
            for each in triggers(account, stack)
        ]
        jobs = [
            {"job": step.name, "state": step.state.lower(), "seconds": step.seconds, "message": step.message}
            for step in last_job_runs(account, stack)
        ]
    if as_json:
        told = {"stack": stack, "status": found.status, "outputs": found.outputs, "triggers": active, "jobs": jobs}
        print_json({**told, **watching})
        return
    print(f"stack {stack} in {account.number}, {account.region}: {found.status.lower()}")
    print_rows([{"output": name, "value": value} for name, value in sorted(found.outputs.items())])
    for rows in (active, jobs, *watching.values()):
        print_rows(rows)


@aws.command()
def logs(
    job: Annotated[str, typer.Argument(help="extract, transform, aggregate or maintain.")],
    stack: StackOption = "brewhouse",
    run_id: Annotated[
        str | None, typer.Option("--run", help="Id of the job's run. Default: the last", show_default=False)
    ] = None,
) -> None:
    """Print what a job's last run wrote into its log.

    Example: brewhouse aws logs transform
    """
    from brewhouse.aws.glue_workflow import logs as read_logs
    from brewhouse.aws.session import open_account, translated_aws_errors

    account = open_account()
    with translated_aws_errors():
        for line in read_logs(account, stack, job, run_id):
            print(line)


@aws.command()
def query(
    sql: Annotated[str | None, typer.Argument(help="One query, in Athena's SQL.", show_default=False)] = None,
    saved: SavedOption = None,
    stack: StackOption = "brewhouse",
    output_format: FormatOption = Format.TABLE,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Query the tables through Athena; tables are named by zone, as gold.breweries_by_location.

    What was scanned and what that cost goes to standard error.

    Example: brewhouse aws query --saved top_cities
    """
    query_on_athena(sql, saved, stack, Format.JSON if as_json else output_format, output)


def query_on_athena(sql: str | None, saved: str | None, stack: str, output_format: Format, output: Path | None) -> None:
    """Run a query through Athena and write its result."""
    from brewhouse.aws.athena import run_query
    from brewhouse.aws.session import open_account, translated_aws_errors
    from brewhouse.aws.stacks import get_stack
    from brewhouse.query.saved_queries import saved_query

    if (sql is None) == (saved is None):
        raise UsageError("Give either a SELECT or --saved NAME.", hint="`brewhouse queries` lists the saved ones.")
    text = sql or saved_query(saved or "").sql
    account = open_account()
    with translated_aws_errors():
        database = get_stack(account, stack).parameters["CatalogDatabase"]
        result = run_query(account, stack, database, text)
    write(result, output_format, output)
    print(f"{result.scanned_bytes} bytes scanned, {result.cost_usd:.6f} USD", file=sys.stderr)


@aws.command()
def estimate(
    parameter: ParameterOption = None,
    runs: Annotated[int, typer.Option("--runs", min=0, help="Runs of the workflow a month.")] = 30,
    minutes: Annotated[float, typer.Option("--minutes", min=1, help="Minutes a job takes, its start included.")] = 2,
    queries: Annotated[int, typer.Option("--queries", min=0, help="Queries a month.")] = 300,
    stored_gb: Annotated[float, typer.Option("--stored-gb", min=0, help="Gigabytes in the bucket.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Work out what a month costs, part by part; needs no account.

    Example: brewhouse aws estimate --runs 30 --parameter RunCrawler=false
    """
    from brewhouse.aws.prices import MonthlyUsage, prices
    from brewhouse.aws.prices import estimate as work_out
    from brewhouse.aws.template import defaults

    usage = MonthlyUsage(runs=runs, minutes_per_job=minutes, queries=queries, stored_gb=stored_gb)
    rows = work_out(usage, {**defaults(), **_parameters(parameter)})
    if as_json:
        print_json({"as_of": prices().as_of, "parts": rows})
        return
    print_rows(rows)
    print(f"List prices of {prices().as_of}, us-east-1, in US dollars: {prices().source}.")


@aws.command()
def verify(stack: StackOption = "brewhouse", as_json: JsonOption = False) -> None:
    """Look whether everything that only a real account can prove is so; asks Athena, for a cent at the most.

    Example: brewhouse aws verify
    """
    from brewhouse.aws.session import open_account, translated_aws_errors
    from brewhouse.aws.stacks import get_stack
    from brewhouse.aws.verify import verify as look

    account = open_account()
    with translated_aws_errors():
        found = look(account, get_stack(account, stack))
        print_json(list(found)) if as_json else _print_checks(found)


@aws.command()
def destroy(
    stack: StackOption = "brewhouse",
    with_data: Annotated[bool, typer.Option("--with-data", help="Delete the lake too; asks twice.")] = False,
    yes: YesOption = False,
) -> None:
    """Delete the stack; the lake stays, unless --with-data is given.

    Example: brewhouse aws destroy
    """
    from brewhouse.aws.deploy import bucket_exists, bucket_name
    from brewhouse.aws.session import open_account, translated_aws_errors
    from brewhouse.aws.stacks import delete_stack, find_stack
    from brewhouse.aws.teardown import databases_of, remove_bucket, remove_databases

    account = open_account()
    with translated_aws_errors():
        found = find_stack(account, stack)
        bucket = found.parameters["BucketName"] if found else bucket_name(account, stack)
        data = [bucket] if bucket_exists(account, bucket) else []
        databases = databases_of(account, bucket)
        if not found and not (with_data and (data or databases)):
            raise UsageError(f"Account {account.number} has no stack {stack} in {account.region}.")
        _ask(f"Delete the stack {stack} in account {account.number}, {account.region}?", yes=yes)
        if with_data:
            lost = ", ".join([*(f"s3://{name}" for name in data), *databases]) or "nothing"
            _ask(f"Delete the lake for good, with every version of it: {lost}?", yes=yes)
        if found:
            _tell(delete_stack(account, found))
        if with_data:
            remove_databases(account, databases)
            gone = remove_bucket(account, bucket) if data else 0
            print(f"The lake is deleted: {gone} objects and versions, {len(databases)} databases.")
        else:
            print(f"What stays: s3://{bucket}, and the databases {', '.join(databases) or '(none)'}.")
            print("`brewhouse aws deploy` goes on with them; `brewhouse aws destroy --with-data` deletes them.")


def _run_workflow(account: Account, stack: str, *, wait: bool) -> str:
    """Start the workflow, follow it to its end if wanted, and give the run's id."""
    from brewhouse.aws.glue_workflow import follow, start

    run_id = start(account, stack)
    print(f"workflow run {run_id} is started")
    if wait:
        for step in follow(account, stack, run_id):
            seconds = f" ({step.seconds:.0f} s)" if step.seconds is not None else ""
            print(f"{step.name}: {step.state.lower()}{seconds} {step.message}".rstrip(), flush=True)
            if step.is_crawler and step.has_failed:
                print("  nothing rests on it; the log group /aws-glue/crawlers shows what it said", flush=True)
        print("every job succeeded")
    return run_id


def _parameters(given: list[str] | None) -> dict[str, str]:
    wrong = [each for each in given or [] if "=" not in each]
    if wrong:
        raise UsageError(f"{wrong[0]} is no parameter.", hint="Write it as Name=value.")
    return dict(each.split("=", 1) for each in given or [])


def _ready(account: Account, stack: Stack | None) -> Stack | None:
    """Give a stack that can be changed; one whose creation failed is cleared away."""
    from brewhouse.aws.stacks import delete_stack

    if stack and stack.is_working:
        raise BrewhouseError(
            f"CloudFormation is at work on {stack.name}: {stack.status}.", hint="Try again when it is done."
        )
    if stack and stack.status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"}:
        print(f"{stack.name} could not be made before; what is left of it is cleared away")
        _tell(delete_stack(account, stack))
        return None
    return stack


def _manifest(folder: Path, given: dict[str, str], before: Stack | None, *, packaged: bool) -> PackageManifest:
    """Make the package for the Glue version that is asked for, or is there, or is the default; or take it as it is."""
    from brewhouse.aws.package import make_package, read_package

    known = before.parameters.get("GlueVersion", _GLUE_VERSION) if before else _GLUE_VERSION
    version = given.pop("GlueVersion", known)
    if not packaged:
        return make_package(folder, version)
    manifest = read_package(folder)
    if manifest.glue_version != version:
        raise UsageError(
            f"The package in {folder} is for Glue {manifest.glue_version}, not {version}.",
            hint=f"Make it anew: brewhouse aws package --glue-version {version}.",
        )
    return manifest


def _change(
    account: Account,
    stack: str,
    folder: Path,
    manifest: PackageManifest,
    given: dict[str, str],
    before: Stack | None,
    *,
    yes: bool,
) -> bool:
    """Upload, plan, ask, change; says whether anything was changed."""
    from brewhouse.aws.deploy import bucket_exists, resolve_parameters, upload, url_of
    from brewhouse.aws.stacks import create_change_set, find_stack
    from brewhouse.aws.template import first_template

    template = (folder / manifest.template.name).read_text("utf-8")
    parameters = resolve_parameters(account, stack, before, manifest, template, given)
    bucket = parameters.get("BucketName") or (before.parameters["BucketName"] if before else "")
    has_bucket = bucket_exists(account, bucket)
    if not has_bucket:
        if before and before.status != "REVIEW_IN_PROGRESS":
            raise BrewhouseError(f"The bucket {bucket} of the stack {stack} is gone.", hint="Destroy the stack first.")
        print("First the bucket is made, for what the stack is made of; then all else, which is shown then.")
        _make(account, stack, create_change_set(account, stack, first_template(template), parameters, before), yes=yes)
        before = find_stack(account, stack)
    sent = upload(account, bucket, folder, manifest)
    for file in sent:
        print(f"uploaded {file.name} ({file.size_bytes} bytes)")
    source = url_of(account, bucket, manifest.template)
    change_set = create_change_set(account, stack, source, parameters, before)
    _make(account, stack, change_set, yes=yes)
    return bool(change_set or sent)


def _make(account: Account, stack: str, change_set: ChangeSet | None, *, yes: bool) -> None:
    """Show a change, ask, and make it."""
    from brewhouse.aws.stacks import discard_change_set, execute_change_set

    if change_set is None:
        print(f"{stack} is as it should be: nothing to change")
        return
    _print_changes(stack, account, change_set)
    if not (yes or typer.confirm("Make these changes?")):
        discard_change_set(account, change_set)
        raise typer.Exit(1)
    _tell(execute_change_set(account, change_set))


def _print_changes(stack: str, account: Account, change_set: ChangeSet) -> None:
    print(f"{stack} in {account.number}, {account.region}, as {account.caller}:")
    print_rows(
        [
            {"action": c.action.lower(), "resource": c.name, "type": c.kind, "replaced": c.replacement, "what": c.why}
            for c in change_set.changes
        ]
    )


def _tell(events: Iterable[StackEvent]) -> None:
    for event in events:
        print(f"{event.time:%H:%M:%S} {event.status.lower():28} {event.name} {event.reason}".rstrip(), flush=True)


def _print_checks(found: Iterable[DeploymentCheck]) -> None:
    failed = []
    for check in found:
        word = {True: "ok", False: "FAILED", None: "not yet"}[check.passed]
        print(f"{word:8} {check.name}{f': {check.detail}' if check.detail else ''}", flush=True)
        failed += [check.name] if check.passed is False else []
    if failed:
        raise ChecksFailed(f"{len(failed)} checks failed: {'; '.join(failed)}.")


def _ask(question: str, *, yes: bool) -> None:
    if not (yes or typer.confirm(question)):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(aws)
