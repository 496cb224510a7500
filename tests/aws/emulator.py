"""The production template without what the emulator refuses, which is made by API instead."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from brewhouse.aws.template import parse

REFUSED = ("AWS::Athena::NamedQuery", "AWS::Glue::Workflow")
"""Resource types of the template that MiniStack's CloudFormation does not know; its API knows both."""


@cache
def without_refused(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Take the refused types out of a template.

    Args:
        text: The template, YAML.

    Returns:
        What is left, and the resources that were taken out.
    """
    template = parse(text)
    resources = template["Resources"]
    gone = {name: resources.pop(name) for name in list(resources) if resources[name]["Type"] in REFUSED}
    left = json.dumps(template)
    for name, facts in gone.items():  # a reference to one of them becomes the name it has
        left = left.replace(json.dumps({"Ref": name}), json.dumps(facts["Properties"]["Name"]))
    return left, list(gone.values())


def without_tls(text: str) -> str:
    """Have no policy demand TLS: the emulator speaks plain HTTP, on the loopback, and would refuse itself."""
    raise_on_failure = '"aws:SecureTransport": "false"'
    assert raise_on_failure in text
    return text.replace(raise_on_failure, '"aws:SecureTransport": "never"')


def make_refused(session: Any, gone: list[dict[str, Any]], stack: str, database: str = "brewhouse") -> None:  # noqa: ANN401
    """Make what was taken out, by API, from the same properties."""
    for facts in gone:
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
