"""Roles: each function may do what it does, and no more."""

import json
import re

import pytest
from conftest import ROOT
from samcli.yamlhelper import yaml_parse

# Calls of the table. A transaction needs the rights of the writes in it.
READ_AND_WRITE = {f"dynamodb:{call}" for call in ("BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem")}
REMOVE = {"dynamodb:BatchWriteItem"}
TABLE_CALLS = {
    "Ingest": {"dynamodb:GetItem", "dynamodb:PutItem"},
    "Registry": READ_AND_WRITE | REMOVE,
    "Dispatch": READ_AND_WRITE,
    "Drain": READ_AND_WRITE,
    "Sweep": READ_AND_WRITE | REMOVE,
}
# Who looks for due lanes, and who counts a topic's.
INDEX_READERS = {"Registry", "Sweep"}

# What each function's use-case calls of queues and bucket.
CALLS = {
    "Ingest": {
        ("EventsQueue", "sqs:GetQueueAttributes"),
        ("EventsQueue", "sqs:SendMessage"),
        ("payloads", "s3:PutObject"),
    },
    "Registry": {
        ("EventsQueue", "sqs:GetQueueAttributes"),
        ("EventsQueue", "sqs:SendMessage"),
        ("WakeUpsQueue", "sqs:SendMessage"),
        ("payloads", "s3:GetObject"),
        ("staging", "s3:GetObject"),
        ("events", "s3:GetObject"),
        ("held", "s3:DeleteObject"),
        ("held", "s3:GetObject"),
        ("held", "s3:PutObject"),
        ("bucket", "s3:ListBucket"),
    },
    "Dispatch": {
        ("EventsQueue", "sqs:ChangeMessageVisibility"),
        ("EventsQueue", "sqs:DeleteMessage"),
        ("EventsQueue", "sqs:GetQueueAttributes"),
        ("EventsQueue", "sqs:ReceiveMessage"),
        ("EventsQueue", "sqs:SendMessage"),
        ("WakeUpsQueue", "sqs:SendMessage"),
        ("payloads", "s3:GetObject"),
        ("staging", "s3:PutObject"),
        ("quarantine", "s3:PutObject"),
        ("held", "s3:DeleteObject"),
        ("held", "s3:PutObject"),
        ("bucket", "s3:ListBucket"),
    },
    "Drain": {
        ("WakeUpsQueue", "sqs:DeleteMessage"),
        ("WakeUpsQueue", "sqs:GetQueueAttributes"),
        ("WakeUpsQueue", "sqs:ReceiveMessage"),
        ("WakeUpsQueue", "sqs:SendMessage"),
        ("EventsQueue", "sqs:GetQueueAttributes"),
        ("EventsQueue", "sqs:SendMessage"),
        ("payloads", "s3:GetObject"),
        ("staging", "s3:GetObject"),
        ("events", "s3:GetObject"),
        ("held", "s3:DeleteObject"),
        ("held", "s3:GetObject"),
        ("held", "s3:PutObject"),
        ("bucket", "s3:ListBucket"),
    },
    "Sweep": {
        ("EventsQueue", "sqs:GetQueueAttributes"),
        ("EventsQueue", "sqs:SendMessage"),
        ("WakeUpsQueue", "sqs:SendMessage"),
        ("payloads", "s3:GetObject"),
        ("payloads", "s3:PutObject"),
        ("staging", "s3:GetObject"),
        ("events", "s3:GetObject"),
        ("events", "s3:PutObject"),
        ("held", "s3:DeleteObject"),
        ("held", "s3:GetObject"),
        ("held", "s3:PutObject"),
        ("bucket", "s3:ListBucket"),
    },
}


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(role):
    return [s for policy in role["Policies"] for s in policy["PolicyDocument"]["Statement"]]


def allows(template):
    """Every Allow statement of a template: of roles and of resource policies."""
    found = []

    def walk(node):
        if isinstance(node, dict):
            if node.get("Effect") == "Allow" and "Action" in node and "Resource" in node:
                found.append(node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(template)
    return found


def test_each_function_has_a_role_of_its_own_and_no_managed_policy(of_type):
    functions, roles = of_type("AWS::Lambda::Function"), of_type("AWS::IAM::Role")
    used = {name: p["Role"]["Fn::GetAtt"][0] for name, p in functions.items()}
    assert used == {name: f"{name}Role" for name in functions}
    assert set(roles) == set(used.values())
    assert not any("ManagedPolicyArns" in role for role in roles.values())


# Actions of the deploy role that know no resources.
WITHOUT_RESOURCE = {"AccessLogs"}


@pytest.mark.parametrize("file, exempt", [("template.yaml", set()), ("infra/deploy-role.yaml", WITHOUT_RESOURCE)])
def test_no_statement_allows_all_actions_or_all_resources(file, exempt):
    found = allows(yaml_parse((ROOT / file).read_text()))
    assert found
    wide = set()
    for statement in found:
        for action in listed(statement["Action"]):
            assert "*" not in action, statement
        if "*" in listed(statement["Resource"]):
            wide.add(statement["Sid"])
    assert wide == exempt


def test_objects_are_named_by_folder(of_type):
    """An object's ARN ends in `*`: then a folder stands before it, never the whole bucket."""
    for role in of_type("AWS::IAM::Role").values():
        for statement in statements(role):
            if listed(statement["Action"])[0] in ("s3:DeleteObject", "s3:GetObject", "s3:PutObject"):
                assert all(re.search(r"/[a-z]+/\*", json.dumps(r)) for r in listed(statement["Resource"]))


def target(resource):
    """What a statement's resource is: a queue, the table, a folder of the bucket, a log."""
    text = json.dumps(resource)
    for queue in ("EventsQueue", "ShardsQueue", "WakeUpsQueue"):
        if queue in text:
            return queue
    for folder in ("payloads", "staging", "quarantine", "held", "events"):
        if f"/{folder}/*" in text:
            return folder
    for name, kind in (("/index/", "index"), ("Table", "table"), ("Log", "log"), ("Bucket", "bucket")):
        if name in text:
            return kind
    raise AssertionError(text)


@pytest.mark.parametrize("function", CALLS)
def test_a_function_may_do_what_it_does_and_no_more(of_type, function):
    role = of_type("AWS::IAM::Role")[f"{function}Role"]
    may = {
        (target(resource), action)
        for statement in statements(role)
        for resource in listed(statement["Resource"])
        for action in listed(statement["Action"])
    }
    assert {(what, action) for what, action in may if not action.startswith(("dynamodb:", "logs:"))} == CALLS[function]
    assert {action for what, action in may if what == "table"} == TABLE_CALLS[function]
    assert {action for what, action in may if what == "index"} == (
        {"dynamodb:Query"} if function in INDEX_READERS else set()
    )
    assert {what for what, action in may if action.startswith("logs:")} == {"log"}


def test_a_function_writes_only_to_its_own_log(of_type):
    for name, role in of_type("AWS::IAM::Role").items():
        logs = [s["Resource"] for s in statements(role) if listed(s["Action"])[0].startswith("logs:")]
        assert logs == [{"Fn::GetAtt": [name.removesuffix("Role") + "Log", "Arn"]}]


def test_a_function_may_use_what_its_variables_name(of_type):
    """A variable that names a resource comes with a right to use it, and the other way round."""
    names = {"RELAY_EVENTS_QUEUE_URL": "EventsQueue", "RELAY_WAKE_UPS_QUEUE_URL": "WakeUpsQueue"}
    for name, function in of_type("AWS::Lambda::Function").items():
        given = {names[v] for v in function["Environment"]["Variables"] if v in names}
        role = of_type("AWS::IAM::Role")[f"{name}Role"]
        may = {target(r) for s in statements(role) for r in listed(s["Resource"])}
        assert {what for what in may if what.endswith("Queue")} == given
