"""The CloudFormation template: `stack.yaml` with the saved queries put in as Athena's named queries."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from brewhouse.errors import UsageError
from brewhouse.query.saved_queries import SavedQuery, for_athena, saved_queries

if TYPE_CHECKING:
    import yaml

MAX_BYTES_IN_REQUEST = 51_200
"""CloudFormation takes no longer template in a request; one in a bucket may have `MAX_BYTES`."""
MAX_BYTES = 1_000_000
_PLACE = "  # [named queries]\n"
_FIRST = ("Bucket", "BucketPolicy")


@cache
def template() -> str:
    """Give the template as it is deployed, JSON."""
    source = files(__package__).joinpath("stack.yaml").read_text("utf-8")
    before, after = source.split(_PLACE)
    text = before + "\n".join(_named_query(query) for query in saved_queries()) + after
    return json.dumps(parse(text), ensure_ascii=False, indent=1) + "\n"


def first_template(whole: str) -> str:
    """Give what a stack begins with: the bucket, where the rest of the template and the functions' code must be.

    Args:
        whole: The template.

    Returns:
        A template with the same parameters, short enough for a request.
    """
    parsed = parse(whole)
    parsed["Resources"] = {name: parsed["Resources"][name] for name in _FIRST}
    parsed["Outputs"] = {"Bucket": parsed["Outputs"]["Bucket"]}
    return json.dumps(parsed, ensure_ascii=False, separators=(",", ":"))


def defaults() -> dict[str, str]:
    """Give the default of every parameter that has one."""
    parameters = parse(template())["Parameters"]
    return {name: str(facts["Default"]) for name, facts in parameters.items() if "Default" in facts}


def parse(text: str) -> dict[str, Any]:
    """Read a template; `!Ref x` becomes `{"Ref": "x"}`, `!Sub x` `{"Fn::Sub": "x"}`, as in its JSON form.

    Example:
        >>> parse("Name: !Sub ${AWS::StackName}-lake")
        {'Name': {'Fn::Sub': '${AWS::StackName}-lake'}}

    Raises:
        UsageError: PyYAML is missing.
    """
    try:
        import yaml
    except ImportError as error:
        raise UsageError("PyYAML is not installed.", hint="Install it: pip install 'brewhouse[aws]'.") from error

    base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast

    class Loader(base):  # type: ignore[misc]
        """Knows CloudFormation's tags as well."""

    Loader.add_multi_constructor("!", _intrinsic)
    parsed: dict[str, Any] = yaml.load(text, Loader)  # noqa: S506 - a SafeLoader with tags that make plain values
    return parsed


def _intrinsic(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


def _named_query(query: SavedQuery) -> str:
    logical = "".join(word.capitalize() for word in query.name.split("_"))
    sql = for_athena(query.sql, "${CatalogDatabase}")
    return (
        f"  {logical}Query:\n"
        "    Type: AWS::Athena::NamedQuery\n"
        "    Properties:\n"
        f"      Name: {query.title}\n"
        f"      Description: {query.question!r}\n"
        "      WorkGroup: !Ref WorkGroup\n"
        "      Database: !Sub ${CatalogDatabase}_gold\n"
        "      QueryString: !Sub |\n" + "".join(f"        {line}\n" for line in sql.splitlines())
    )
