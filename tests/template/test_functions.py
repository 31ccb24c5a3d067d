"""Functions: what they read, how they are called, how long they have."""

import json

FUNCTIONS = {"Ingest", "Registry", "Dispatch", "Drain", "Sweep"}


def test_there_are_five_functions_for_provided_al2023(of_type):
    functions = of_type("AWS::Lambda::Function")
    assert set(functions) == FUNCTIONS
    for properties in functions.values():
        assert properties["Runtime"] == "provided.al2023"
        assert properties["Architectures"] == [{"Ref": "Architecture"}]


def test_each_function_gets_exactly_the_variables_that_it_reads(of_type, recorded_variables):
    functions = of_type("AWS::Lambda::Function")
    given = {name: sorted(p["Environment"]["Variables"]) for name, p in functions.items()}
    assert given == {name: sorted(read) for name, read in recorded_variables.items()}


def test_a_function_ends_before_its_messages_are_visible_again(of_type):
    functions, queues = of_type("AWS::Lambda::Function"), of_type("AWS::SQS::Queue")
    sources = of_type("AWS::Lambda::EventSourceMapping")
    assert len(sources) == 2
    for mapping in sources.values():
        queue = queues[mapping["EventSourceArn"]["Fn::GetAtt"][0]]
        assert functions[mapping["FunctionName"]["Ref"]]["Timeout"] < queue["VisibilityTimeout"]


def test_messages_that_fail_are_reported_one_by_one(of_type):
    for mapping in of_type("AWS::Lambda::EventSourceMapping").values():
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["BatchSize"] == 10


def test_drain_and_dispatch_have_concurrency_of_their_own(of_type):
    mappings = of_type("AWS::Lambda::EventSourceMapping").values()
    limits = {m["FunctionName"]["Ref"]: m["ScalingConfig"]["MaximumConcurrency"] for m in mappings}
    assert limits == {"Dispatch": {"Ref": "DispatchConcurrency"}, "Drain": {"Ref": "DrainConcurrency"}}


def test_sweep_is_called_every_minute_and_not_again(of_type):
    (rule,) = of_type("AWS::Events::Rule").values()
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    (config,) = of_type("AWS::Lambda::EventInvokeConfig").values()
    assert config["MaximumRetryAttempts"] == 0


def test_logs_are_kept_for_a_time_that_is_said(of_type):
    functions, groups = of_type("AWS::Lambda::Function"), of_type("AWS::Logs::LogGroup")
    logs = {properties["LoggingConfig"]["LogGroup"]["Ref"] for properties in functions.values()}
    assert len(logs) == len(functions) and logs <= set(groups)
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())


def routes(of_type):
    (api,) = of_type("AWS::ApiGatewayV2::Api").values()
    for path, operations in api["Body"]["paths"].items():
        for verb, operation in operations.items():
            uri = operation["x-amazon-apigateway-integration"]["uri"]
            function = next(name for name in FUNCTIONS if f"${{{name}.Arn}}" in json.dumps(uri))
            yield verb, path, function, operation


def test_events_go_to_ingest_and_all_else_to_registry(of_type):
    found = {(verb, path): function for verb, path, function, _ in routes(of_type)}
    assert found == {
        ("post", "/v1/topics/{topic}/events"): "Ingest",
        ("get", "/healthz"): "Registry",
        ("get", "/readyz"): "Registry",
        ("options", "/{path+}"): "Registry",
        ("x-amazon-apigateway-any-method", "/$default"): "Registry",
    }


def test_functions_get_payloads_of_format_2(of_type):
    for _, _, _, operation in routes(of_type):
        assert operation["x-amazon-apigateway-integration"]["payloadFormatVersion"] == "2.0"


def test_tokens_are_asked_for_only_where_an_issuer_is_given(of_type):
    asked = {path for _, path, _, operation in routes(of_type) if "security" in operation}
    assert asked == {"/v1/topics/{topic}/events", "/$default"}
    for _, _, _, operation in routes(of_type):
        if "security" in operation:
            assert operation["security"]["Fn::If"][0] == "HasJwt"


def test_no_origin_may_call_unless_it_is_named(source, of_type):
    (api,) = of_type("AWS::ApiGatewayV2::Api").values()
    condition, allowed, otherwise = api["Body"]["x-amazon-apigateway-cors"]["Fn::If"]
    assert (condition, otherwise) == ("HasCors", {"Ref": "AWS::NoValue"})
    assert allowed["allowOrigins"] == {"Ref": "CorsAllowOrigins"}
    assert source["Parameters"]["CorsAllowOrigins"]["Default"] == ""


def test_requests_are_throttled_and_logged(of_type):
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    settings = stage["DefaultRouteSettings"]
    assert settings == {"ThrottlingRateLimit": {"Ref": "ThrottlingRate"}, "ThrottlingBurstLimit": {"Ref": "ThrottlingBurst"}}
    condition, logs, _ = stage["AccessLogSettings"]["Fn::If"]
    assert condition == "HasAccessLogs"
    line = json.loads(logs["Format"])
    assert {"request", "route", "status", "latencyMs"} <= set(line)
    assert not any("header" in value or "authorizer" in value for value in line.values()), "no credentials in logs"


def test_api_gateway_may_call_only_the_functions_that_have_routes(of_type):
    permissions = of_type("AWS::Lambda::Permission").values()
    callers = {(p["FunctionName"]["Ref"], p["Principal"]) for p in permissions}
    assert callers == {
        ("Ingest", "apigateway.amazonaws.com"),
        ("Registry", "apigateway.amazonaws.com"),
        ("Sweep", "events.amazonaws.com"),
    }
    assert all("SourceArn" in p for p in permissions)
