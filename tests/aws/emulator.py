"""The template without the resource types that the emulator's CloudFormation lacks; these are created by API."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from brewhouse.aws.template import parse

UNSUPPORTED = ("AWS::Athena::NamedQuery", "AWS::Glue::Workflow")
"""Resource types that MiniStack's CloudFormation does not support, though its API does."""


@cache
def split_unsupported(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Return a template without the unsupported resources, as JSON, and these resources."""
    template = parse(text)
    resources = template["Resources"]
    removed = {name: resources.pop(name) for name in list(resources) if resources[name]["Type"] in UNSUPPORTED}
    supported = json.dumps(template)
    for name, facts in removed.items():  # a reference to one of them becomes its name
        supported = supported.replace(json.dumps({"Ref": name}), json.dumps(facts["Properties"]["Name"]))
    return supported, list(removed.values())


def without_tls(text: str) -> str:
    """Remove the requirement of TLS from all policies, since the emulator only supports HTTP."""
    condition = '"aws:SecureTransport": "false"'
    assert condition in text
    return text.replace(condition, '"aws:SecureTransport": "never"')


def create_unsupported(session: Any, resources: list[dict[str, Any]], stack: str, database: str = "brewhouse") -> None:  # noqa: ANN401
    """Create unsupported resources by API, from their properties in the template."""
    for facts in resources:
        properties = facts["Properties"]
        if facts["Type"] == "AWS::Glue::Workflow":
            session.client("glue").create_workflow(Name=stack, MaxConcurrentRuns=properties["MaxConcurrentRuns"])
        else:
            session.client("athena").create_named_query(
                Name=properties["Name"],
                Database=f"{database}_gold",
                QueryString=re.sub(r"\$\{CatalogDatabase\}", database, properties["QueryString"]["Fn::Sub"]),
                WorkGroup=stack,
            )
