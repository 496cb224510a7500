"""Checks before a change set: what of the account would let the stack, or its first run, fail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from string import Template
from typing import Any

from brewhouse.aws.deploy import ZONES, CheckResult, DeploymentCheck, run_checks
from brewhouse.aws.prices import DPU
from brewhouse.aws.session import Account, get_or_none, reason_of
from brewhouse.lake.aws_errors import denial_in

NO_TRAIL = "none, so calls that change the stack are not archived: set --parameter RecordManagementCalls=true for one"
_GRANT = "grant the jobs' roles ALL on the databases after the deployment, or restore it under Data Catalog settings"
_FUNCTIONS_AT_ONCE = 6  # the event source mapping runs up to five archivers; and the notifier
_QUOTAS = {"L-5E4153CA": "concurrent job runs", "L-08F3B322": "DPUs of concurrent job runs"}
"""Codes of the quotas of Glue for an account."""
_SOURCES = {"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid"}  # EventBridge sends none of them to KMS
_TRAIL = "cloudtrail.amazonaws.com"


@dataclass(frozen=True)
class Preflight:
    """A deployment to check."""

    account: Account
    stack: str
    parameters: Mapping[str, str]

    def checks(self) -> Iterator[DeploymentCheck]:
        """Check the account; the detail of a failed check says what to do."""
        checks = {
            "the Glue version runs the engine": self._engine,
            "Glue is enabled": self._glue,
            "no other stack owns the databases": self._databases,
            "Lake Formation leaves permissions to IAM": self._lake_formation,
            "the jobs can decrypt the catalog": self._catalog_encryption,
            "Lambda can run the functions": self._lambda,
            "Glue can run the jobs": self._quotas,
            "the policy of the KMS key admits the services": self._key,
            "a CloudTrail trail records calls": self._trail,
        }
        return run_checks(checks, strict=False)

    def _engine(self) -> CheckResult:
        version, engine = self.parameters["GlueVersion"], self.parameters["Engine"]
        if engine == "spark" and version != "6.0":  # the template's rule, checked before the package is built
            return False, f"not spark with {version}: set --parameter GlueVersion=6.0, or Engine=duckdb"
        return True, f"{engine} with {version}"

    def _glue(self) -> CheckResult:
        from botocore.exceptions import ClientError, EndpointConnectionError

        try:
            self.account.client("glue").get_jobs(MaxResults=1)
        except EndpointConnectionError:
            return False, f"no answer from Glue in {self.account.region}: set AWS_REGION to a region with Glue"
        except ClientError as error:
            if denial_in(error.response["Error"].get("Message", "")):
                raise  # of this user
            return False, f"{reason_of(error)}: ask AWS Support to enable Glue for this account and region"
        return True, ""

    def _databases(self) -> CheckResult:
        for zone in ZONES:
            name = f"{self.parameters['CatalogDatabase']}_{zone}"
            found = get_or_none(self.account.client("glue").get_database, Name=name)
            owner = found and found["Database"].get("Parameters", {}).get("brewhouse.bucket", "another application")
            if owner and owner != self.parameters["BucketName"]:
                return False, f"{name} belongs to {owner}: set --parameter CatalogDatabase to another name"
        return True, ""

    def _lake_formation(self) -> CheckResult:
        settings = self.account.client("lakeformation").get_data_lake_settings()["DataLakeSettings"]
        for kind in ("CreateDatabaseDefaultPermissions", "CreateTableDefaultPermissions"):
            principals = {each["Principal"]["DataLakePrincipalIdentifier"] for each in settings.get(kind, [])}
            if "IAM_ALLOWED_PRINCIPALS" not in principals:
                return None, f"{kind} lacks IAM_ALLOWED_PRINCIPALS: {_GRANT}"
        return True, ""

    def _catalog_encryption(self) -> CheckResult:
        found = self.account.client("glue").get_data_catalog_encryption_settings()
        at_rest = found["DataCatalogEncryptionSettings"].get("EncryptionAtRest", {})
        key = at_rest.get("SseAwsKmsKeyId", "the key aws/glue")
        if at_rest.get("CatalogEncryptionMode", "DISABLED") == "DISABLED" or key == self.parameters["KmsKeyArn"]:
            return True, ""
        if role := at_rest.get("CatalogEncryptionServiceRole"):
            return True, f"by {role}"
        return None, f"the catalog is encrypted with {key}: allow the stack's roles to use it, or set KmsKeyArn to it"

    def _lambda(self) -> CheckResult:
        limits = self.account.client("lambda").get_account_settings()["AccountLimit"]
        left = limits.get("UnreservedConcurrentExecutions", limits["ConcurrentExecutions"])
        return _enough({"concurrent executions": (left, _FUNCTIONS_AT_ONCE)})

    def _quotas(self) -> CheckResult:
        dpu = DPU[self.parameters["WorkerType"]] * int(self.parameters["NumberOfWorkers"])
        client, needed = self.account.client("service-quotas"), (2, 2 * dpu)  # for a job, and maintenance
        values = [client.get_service_quota(ServiceCode="glue", QuotaCode=code)["Quota"]["Value"] for code in _QUOTAS]
        return _enough(dict(zip(_QUOTAS.values(), zip(values, needed, strict=True), strict=True)))

    def _key(self) -> CheckResult:
        if not (key := self.parameters["KmsKeyArn"]):
            return True, "keys of AWS"
        policy = json.loads(self.account.client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"])
        has_trail = self.parameters["RecordManagementCalls"] == "true"
        missing = list(missing_permissions(policy, key_policy(self.account, self.stack), has_trail=has_trail))
        if not missing:
            return True, key
        return False, f"{'; '.join(missing)}: add what `brewhouse aws key-policy --stack {self.stack}` prints"

    def _trail(self) -> CheckResult:
        if self.parameters["RecordManagementCalls"] == "true":
            return True, "the stack's own"
        client = self.account.client("cloudtrail")
        trails = client.describe_trails(includeShadowTrails=True)["trailList"]
        active = [each["Name"] for each in trails if client.get_trail_status(Name=each["TrailARN"])["IsLogging"]]
        return (True, ", ".join(active)) if active else (None, NO_TRAIL)


def _enough(quotas: Mapping[str, tuple[float, int]]) -> CheckResult:
    """Check quotas, by name, for what is needed of them."""
    few = [f"{value:g} {name}, fewer than {needed}" for name, (value, needed) in quotas.items() if value < needed]
    if few:
        return False, f"{'; '.join(few)}: raise it with Service Quotas"
    return True, ", ".join(f"{value:g} {name}" for name, (value, _) in quotas.items())


def key_policy(account: Account, stack: str) -> dict[str, Any]:
    """Return the key policy that a stack needs: the account's IAM policies, and the services without a role of it.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
    https://docs.aws.amazon.com/athena/latest/ug/managed-results.html
    """
    names = {"partition": account.caller.split(":")[1], "region": account.region, "account": account.number}
    template = Template(files(__package__).joinpath("key_policy.json").read_text("utf-8"))
    policy: dict[str, Any] = json.loads(template.substitute(names, stack=stack))
    return policy


def missing_permissions(policy: Mapping[str, Any], needed: Mapping[str, Any], *, has_trail: bool) -> Iterator[str]:
    """Yield what a key's policy lacks of the needed one: principal and actions.

    A condition counts as met, except on the source of EventBridge, for which AWS does not support it.
    """
    for statement in needed["Statement"]:
        [principal] = statement["Principal"].values()
        if principal == _TRAIL and not has_trail:
            continue
        allowed = [each for each in as_list(policy["Statement"]) if _allows(each, principal)]
        missing = [
            action
            for action in statement["Action"]
            if not any(fnmatchcase(action, pattern) for each in allowed for pattern in as_list(each.get("Action", [])))
        ]
        if missing:
            plain = ", without a condition on its source" if principal.startswith("events.") else ""
            yield f"{', '.join(missing)} for {principal}{plain}"


def _allows(statement: Mapping[str, Any], principal: str) -> bool:
    """Return whether a statement allows a principal something."""
    given = statement.get("Principal", {})
    named = {each for kind in given.values() for each in as_list(kind)} if isinstance(given, dict) else {given}
    if principal.endswith(":root"):
        named |= {f"{principal.rpartition('::')[0]}::{number}:root" for number in named if number.isdecimal()}
    conditions = {key.lower() for test in statement.get("Condition", {}).values() for key in test}
    if principal.startswith("events.") and conditions & _SOURCES:
        return False
    return statement["Effect"] == "Allow" and bool(named & {principal, "*"})


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 - a value of a policy
    """Return a value of a policy, which may be one or a list, as a list."""
    return value if isinstance(value, list) else [value]
