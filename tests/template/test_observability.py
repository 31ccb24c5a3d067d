"""Alarms: on numbers that there are."""

import re

from conftest import ROOT
from samcli.yamlhelper import yaml_parse

WRITTEN = set(re.findall(r'pub const \w+: &str = "(relay_\w+)"', (ROOT / "crates/relay-core/src/metrics/mod.rs").read_text()))
TEXT = (ROOT / "infra" / "observability.yaml").read_text()
ALARMS = {
    name: resource["Properties"]
    for name, resource in yaml_parse(TEXT)["Resources"].items()
    if resource["Type"] == "AWS::CloudWatch::Alarm"
}


def test_alarms_and_dashboard_name_metrics_that_the_broker_writes():
    named = set(re.findall(r"\brelay_\w+", TEXT))
    assert named and named <= WRITTEN


def test_a_log_that_is_not_compacted_is_told_of_long_before_it_expires():
    (alarm,) = (alarm for alarm in ALARMS.values() if alarm.get("MetricName") == "relay_compaction_lag_seconds")
    due, kept = 15 * 60, 7 * 86_400
    assert 2 * due < alarm["Threshold"] < kept / 24
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": "Sweep"}}]
