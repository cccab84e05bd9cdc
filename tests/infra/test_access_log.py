"""The access log: each line is JSON whatever a caller sends, and its group is in nobody's way."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from infra.stack.gateway import ACCESS_LOGS

if TYPE_CHECKING:
    from tests.infra.conftest import Synthesized

# What may stand in the format, as API Gateway documents it, and why its value can hold no quote and no backslash.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html
HARMLESS = {
    "requestTime": "the gateway's clock: dd/MMM/yyyy:HH:mm:ss +-hhmm",
    "requestId": "the gateway makes it up",
    "routeKey": "one of the stack's own routes, or none",
    "status": "a number",
    "identity.sourceIp": "an address, whoever's: a forged X-Forwarded-For makes it another's, and no text",
    "responseLength": "a number",
    "responseLatency": "a number",
    "integration.integrationStatus": "a number: Lambda's own answer",
    "integrationLatency": "a number",
    "error.responseType": "an enumeration: the type of a gateway's response, like UNAUTHORIZED",
}
VARIABLE = re.compile(r"\$context\.([A-Za-z]+(?:\.[A-Za-z]+)*)")


def written(real: Synthesized) -> str:
    text: str = real.one("AWS::ApiGatewayV2::Stage")["Properties"]["AccessLogSettings"]["Format"]
    return text


def test_the_access_log_has_nothing_that_a_caller_or_an_error_words(real: Synthesized) -> None:
    used = VARIABLE.findall(written(real))

    assert len(used) == written(real).count("$")
    assert sorted(used) == sorted(HARMLESS)


# What strangers choose: headers, paths, the Host, the words of errors, which quote what was sent.
HOSTILE = st.one_of(
    st.sampled_from(['Mozilla "5.0"', '"', "\\", '\\"', '","status":"200', "\n", "\x00", "-", '{"a": "b"}']),
    st.text(max_size=20),
)


@given(hostile=HOSTILE, status=st.sampled_from(["200", "401", "413", "429", "500"]))
def test_a_line_is_json_with_its_status_whatever_a_caller_sends(real: Synthesized, hostile: str, status: str) -> None:
    """The metric filters find no status in a line that is none, and the alarms on what was refused stay silent."""
    harmless = dict.fromkeys(HARMLESS, "-") | {"status": status}

    line = VARIABLE.sub(lambda it: harmless.get(it[1], hostile), written(real))

    assert json.loads(line)["status"] == status


def test_the_access_logs_group_needs_no_place_in_the_accounts_resource_policy_and_has_a_name_of_its_own(
    real: Synthesized,
) -> None:
    """A destroyed or failed deploy of this name had another id: what it left is no obstacle."""
    stage = real.one("AWS::ApiGatewayV2::Stage")["Properties"]["AccessLogSettings"]
    (group,) = [
        group["Properties"]
        for id_, group in real.of_type("AWS::Logs::LogGroup").items()
        if stage["DestinationArn"]["Fn::GetAtt"][0] == id_
    ]

    separator, (before, id_) = group["LogGroupName"]["Fn::Join"]

    assert (separator, before, ACCESS_LOGS) == ("", f"{ACCESS_LOGS}shop-", "/aws/vendedlogs/apigateway/")
    assert id_ == {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}
