"""What schemathesis has to know of media types that are ours to choose."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson", "application/ndjson", "application/jsonl")
def one_line(ctx, value):
    """A generated document is a body of one line."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value).encode("utf-8")


def check_lines(response):
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.deserializer("application/x-ndjson")
def first_line(ctx, response):
    """Each line has the schema; one is enough, since one was sent."""
    lines = check_lines(response)
    return lines[0] if lines else {"line": 1, "outcome": "Failed"}
