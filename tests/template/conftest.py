"""The template as CloudFormation gets it, after the SAM transform, for each way that it may be deployed."""

import json
from pathlib import Path

import pytest
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

ROOT = Path(__file__).resolve().parents[2]
# Where the transform asks for managed policies, and for a region: none of ours is used, and no call is made.
MANAGED_POLICIES = {}


class NoPolicies:
    def load(self):
        return MANAGED_POLICIES


@pytest.fixture(scope="session")
def source():
    """The template as it is written."""
    return yaml_parse((ROOT / "template.yaml").read_text())


@pytest.fixture(scope="session")
def template(source, session_region):
    """The template after the transform, conditions and references still in it."""
    copy = json.loads(json.dumps(source))
    for resource in copy["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"  # as `sam deploy` leaves it
    return transform(copy, {}, NoPolicies())


@pytest.fixture(scope="session")
def session_region():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        yield


@pytest.fixture(scope="session")
def resources(template):
    return template["Resources"]


@pytest.fixture(scope="session")
def of_type(resources):
    """Names and properties of the resources of a type."""
    return lambda kind: {name: r.get("Properties", {}) for name, r in resources.items() if r["Type"] == kind}


@pytest.fixture(scope="session")
def recorded_variables():
    """What each function reads, as the table in functions/src/settings.rs says (a Rust test records it)."""
    return json.loads((ROOT / "functions" / "variables.json").read_text())
