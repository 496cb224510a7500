"""The steps of `brewhouse aws deploy`: checks of the account, package, upload, change set, progress."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from brewhouse.cli.output import make_output_optional, print_rows
from brewhouse.errors import BrewhouseError, ChecksFailed, UsageError

if TYPE_CHECKING:
    from brewhouse.aws.deploy import DeploymentCheck
    from brewhouse.aws.package import PackageManifest
    from brewhouse.aws.session import Account
    from brewhouse.aws.stacks import ChangeSet, Stack, StackEvent

GLUE_VERSION = "6.0"


def _updatable(account: Account, stack: Stack | None) -> Stack | None:
    """Return the stack if it can be updated; delete one that failed to be created, ignore one that was only planned."""
    from brewhouse.aws.stacks import delete_stack

    if stack is None or stack.status == "REVIEW_IN_PROGRESS":
        return None
    if stack.status.endswith("_IN_PROGRESS"):
        raise BrewhouseError(f"CloudFormation is changing {stack.name}: {stack.status}.", hint="Try again later.")
    if stack.status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"}:
        print(f"deleting the remains of {stack.name}, which failed to be created earlier")
        print_events(delete_stack(account, stack))
        return None
    return stack


def change_stack(
    account: Account, stack: str, folder: Path, package: PackageManifest | None, given: dict[str, str], *, yes: bool
) -> bool:
    """Check the account, then package, upload, plan, confirm and apply the changes; return whether there were any.

    Args:
        package: The existing package of the folder; None builds it, for the given, deployed or default Glue version.
        given: Parameters of the stack; others keep their value or default.
    """
    from brewhouse.aws.deploy import bucket_exists, parameters_of_account, upload
    from brewhouse.aws.package import make_package
    from brewhouse.aws.stacks import create_change_set, find_stack
    from brewhouse.aws.template import first_template

    before = _updatable(account, find_stack(account, stack))
    version = given.get("GlueVersion") or (before.parameters.get("GlueVersion") if before else None) or GLUE_VERSION
    if package and package.glue_version != version:
        raise UsageError(
            f"The package in {folder} is for Glue {package.glue_version}, not {version}.",
            hint=f"Build it again: brewhouse aws package --glue-version {version}.",
        )
    parameters = {**given, "GlueVersion": version, **({} if before else parameters_of_account(account, stack))}
    _check_account(account, stack, parameters, before, yes=yes)
    if not package:
        print(f"packaging the code and its dependencies in {folder}", flush=True)
        package = make_package(folder, version)
    parameters |= package.keys
    template = (folder / package.template.name).read_text("utf-8")
    bucket = parameters.get("BucketName") or (before.parameters["BucketName"] if before else "")
    if not bucket_exists(account, bucket):
        if before:
            raise BrewhouseError(f"The bucket {bucket} of {stack} does not exist.", hint="Destroy the stack first.")
        print("Step 1 creates the bucket for the package; step 2 shows and creates everything else.")
        _apply(account, stack, create_change_set(account, stack, first_template(template), parameters, before), yes=yes)
        before = find_stack(account, stack)
    sent = upload(account, bucket, folder, package)
    for file in sent:
        print(f"uploaded {file.name} ({file.size_bytes} bytes)")
    url = f"{account.client('s3').meta.endpoint_url}/{bucket}/{package.template.key}"
    change_set = create_change_set(account, stack, template, parameters, before, url)
    _apply(account, stack, change_set, yes=yes)
    return bool(change_set or sent)


def _check_account(
    account: Account, stack: str, parameters: dict[str, str], before: Stack | None, *, yes: bool
) -> None:
    """Check the account before a change set, and offer a trail if it has none."""
    from brewhouse.aws.preflight import NO_TRAIL, Preflight
    from brewhouse.aws.template import defaults

    whole = {**defaults(), **(before.parameters if before else {}), **parameters}
    checks = list(Preflight(account, stack, whole).checks())
    print_checks(checks, unknown="warning")
    if any(check.detail == NO_TRAIL for check in checks) and not yes:
        question = "Create a trail? AWS records a first copy of management calls free of charge."
        if typer.confirm(question, default=False):
            parameters["RecordManagementCalls"] = "true"
            if whole["KmsKeyArn"]:  # its policy must admit the trail too
                _check_account(account, stack, parameters, before, yes=yes)


def _apply(account: Account, stack: str, change_set: ChangeSet | None, *, yes: bool) -> None:
    """Show, confirm and execute a change set."""
    from brewhouse.aws.stacks import discard_change_set, execute_change_set

    if change_set is None:
        print(f"{stack} is up to date: nothing to change")
        return
    print(f"{stack} in {account.number}, {account.region}, as {account.caller}:")
    print_rows(change_set.changes)
    if not (yes or typer.confirm("Make these changes?")):
        discard_change_set(account, change_set)
        raise typer.Exit(1)
    print_events(execute_change_set(account, change_set))


def print_events(events: Iterable[StackEvent]) -> None:
    """Print the events of a stack as they arrive."""
    for event in events:
        what = (
            f"{event['ResourceStatus'].lower():28} {event['LogicalResourceId']} {event.get('ResourceStatusReason', '')}"
        )
        print(f"{event['Timestamp']:%H:%M:%S} {what}".rstrip(), flush=True)


def print_checks(found: Iterable[DeploymentCheck], unknown: str = "not yet") -> None:
    """Print the results of checks, each as it is known.

    Raises:
        ChecksFailed: A check failed; names it.
    """
    failed = []
    for check in found:
        label = {True: "ok", False: "FAILED", None: unknown}[check.passed]
        print(f"{label:8} {check.name}{f': {check.detail}' if check.detail else ''}", flush=True)
        failed += [check.name] if check.passed is False else []
    if failed:
        raise ChecksFailed(f"{len(failed)} checks failed: {'; '.join(failed)}.", hint="Each line above says why.")


def confirm(question: str, *, yes: bool) -> None:
    """Ask a question unless all are answered, and exit if the answer is no."""
    if not (yes or typer.confirm(question)):
        raise typer.Exit(1)
    make_output_optional()
