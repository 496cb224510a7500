"""An AWS account on this machine, and the production template without what the emulator refuses."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from brewhouse.aws.template import parse

REFUSED = ("AWS::Athena::NamedQuery", "AWS::Glue::Workflow")
"""Resource types of the template that MiniStack's CloudFormation does not know; its API knows both."""


@contextmanager
def running_emulator(folder: Path, **variables: str) -> Iterator[str]:
    """Run MiniStack on loopback, and give its URL.

    Args:
        folder: Where it keeps its files.
        variables: Of its environment.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    loopback = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"],
        cwd=folder,
        env={**kept, "TMPDIR": str(folder), "LOG_LEVEL": "ERROR", **loopback, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                with urllib.request.urlopen(f"{url}/_ministack/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, "the emulator did not start"
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(30)


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
