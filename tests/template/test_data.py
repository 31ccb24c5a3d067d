"""Queues, table, bucket: also what emulators ignore."""

import re

from conftest import ROOT

LIMITS = (ROOT / "crates" / "relay-core" / "src" / "limits.rs").read_text()


def seconds(name):
    """A duration of relay-core's limits, in seconds."""
    product = re.search(rf"pub const {name}: Duration = Duration::from_secs\(([^)]*)\)", LIMITS).group(1)
    result = 1
    for factor in product.split("*"):
        result *= int(factor.strip().replace("_", ""))
    return result


def test_event_queues_are_fifo_in_high_throughput_mode(of_type):
    for name in ("EventsQueue", "ShardsQueue"):
        queue = of_type("AWS::SQS::Queue")[name]
        assert queue["FifoQueue"] is True
        assert (queue["DeduplicationScope"], queue["FifoThroughputLimit"]) == ("messageGroup", "perMessageGroupId")
        assert queue["MessageRetentionPeriod"] == 14 * 86_400
        assert queue["MaximumMessageSize"] == 1024 * 1024
        assert queue["VisibilityTimeout"] == seconds("VISIBILITY")


def test_no_queue_has_a_redrive_policy(of_type):
    queues = of_type("AWS::SQS::Queue")
    assert set(queues) == {"EventsQueue", "ShardsQueue", "WakeUpsQueue"}
    assert not any("RedrivePolicy" in queue for queue in queues.values())


def test_a_wake_up_outlives_its_longest_delay(of_type):
    queue = of_type("AWS::SQS::Queue")["WakeUpsQueue"]
    assert not queue.get("FifoQueue")
    assert queue["MessageRetentionPeriod"] >= seconds("MAX_WAKE_UP_DELAY") + 2 * queue["VisibilityTimeout"]


def test_everything_is_encrypted_at_rest(of_type):
    assert all(queue["SqsManagedSseEnabled"] is True for queue in of_type("AWS::SQS::Queue").values())
    (bucket,) = of_type("AWS::S3::Bucket").values()
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")


def test_the_table_has_the_keys_index_expiry_and_backups_that_the_adapters_rely_on(of_type):
    (table,) = of_type("AWS::DynamoDB::Table").values()
    keys = lambda schema: [(key["AttributeName"], key["KeyType"]) for key in schema]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert keys(table["KeySchema"]) == [("pk", "HASH"), ("sk", "RANGE")]
    (index,) = table["GlobalSecondaryIndexes"]
    assert keys(index["KeySchema"]) == [("gpk", "HASH"), ("gsk", "RANGE")]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    name = re.search(r'const INDEX: &str = "(\w+)"', (ROOT / "crates/relay-aws/src/table/mod.rs").read_text())
    assert index["IndexName"] == name.group(1)


def test_table_and_bucket_outlive_the_stack(resources):
    for name in ("Table", "Bucket"):
        assert resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert resources[name]["UpdateReplacePolicy"] == "Retain"


def test_a_queue_that_is_replaced_keeps_its_messages(resources):
    for name in ("EventsQueue", "ShardsQueue"):
        assert resources[name]["UpdateReplacePolicy"] == "Retain"


def test_nothing_in_the_bucket_is_public(of_type):
    (bucket,) = of_type("AWS::S3::Bucket").values()
    block = bucket["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    (policy,) = of_type("AWS::S3::BucketPolicy").values()
    statements = policy["PolicyDocument"]["Statement"]
    assert all(statement["Effect"] == "Deny" for statement in statements)


def lifecycle(of_type):
    (bucket,) = of_type("AWS::S3::Bucket").values()
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert all(rule["Status"] == "Enabled" for rule in rules)
    return {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}


def classes_of_retention():
    source = (ROOT / "crates" / "relay-core" / "src" / "topic.rs").read_text()
    classes = [int(days) for days in re.findall(r'#\[serde\(rename = "(\d+)d"\)\]', source)]
    assert len(classes) == 7
    return classes


def test_each_class_of_retention_has_a_lifecycle_rule(of_type):
    rules = {prefix: days for prefix, days in lifecycle(of_type).items() if prefix.startswith("events/")}
    assert rules == {f"events/retention={days}d/": days for days in classes_of_retention()}


def test_staging_and_payloads_expire_after_what_refers_to_them(of_type):
    rules = lifecycle(of_type)
    assert rules["staging/"] == 8, "the hot log's entries live 7 days"
    # Of rules that overlap, the one that removes sooner counts.
    for days in classes_of_retention():
        prefix = f"payloads/retention={days}d/"
        assert min(rules[part] for part in rules if prefix.startswith(part)) == days + 30


def test_what_an_operator_still_has_to_look_at_never_expires(of_type):
    assert not any(prefix.startswith(("held", "quarantine")) or prefix == "" for prefix in lifecycle(of_type))
