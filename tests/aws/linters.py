"""Run linters over templates and policies; a program of its own, in an environment of its own.

checkov pins versions of libraries that Brewhouse needs newer. Reads {"templates": {name: template}, "policies": {name:
document}} from standard input and writes one line per finding.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def main() -> None:
    """Print the findings of every linter."""
    given = json.load(sys.stdin)
    for line in (*checkov(given["templates"]), *parliament(given["policies"]), *cloudsplaining(given["policies"])):
        print(line)


def checkov(templates: Mapping[str, Any]) -> Iterator[str]:
    """Check the resources of templates; a finding that the template itself explains is no finding."""
    from checkov.cloudformation.runner import Runner
    from checkov.runner_filter import RunnerFilter

    with tempfile.TemporaryDirectory() as folder:
        for name, template in templates.items():
            Path(folder, f"{name}.json").write_text(json.dumps(template), "utf-8")
        report = Runner().run(root_folder=folder, runner_filter=RunnerFilter(framework=["cloudformation"]))
    assert report.passed_checks
    for finding in report.failed_checks:
        yield f"checkov: {finding.file_path}: {finding.resource}: {finding.check_id} {finding.check_name}"
    for error in report.parsing_errors:
        yield f"checkov: {error} cannot be parsed"


def parliament(policies: Mapping[str, Any]) -> Iterator[str]:
    """Check that actions exist and support their resources and conditions."""
    from parliament import analyze_policy_string

    for name, document in policies.items():
        for finding in analyze_policy_string(json.dumps(document)).findings:
            yield f"parliament: {name}: {finding.issue} {finding.detail}"


def cloudsplaining(policies: Mapping[str, Any]) -> Iterator[str]:
    """Check that no policy permits to gain privileges, to expose resources or to read data anywhere."""
    from cloudsplaining.scan.policy_document import PolicyDocument

    for name, document in policies.items():
        policy = PolicyDocument(document)
        findings = {
            "privilege escalation": policy.allows_privilege_escalation,
            "exposes resources": policy.permissions_management_without_constraints,
            "reads data anywhere": policy.allows_data_exfiltration_actions,
            "writes anywhere": policy.all_allowed_unrestricted_actions,
        }
        for what, actions in findings.items():
            if actions:
                yield f"cloudsplaining: {name}: {what}: {actions}"


if __name__ == "__main__":
    main()
