#!/usr/bin/env python3
"""Writes packages/core/test/decimal.golden.json: what Python's `decimal` says of sums, products and rounding.

Run from the root. The seed is fixed, so the file changes only when this script does.
"""
import json
import random
from decimal import ROUND_HALF_UP, Context, Decimal

CASES = 2_000
# exact: two factors have at most 2 * (17 + 9) digits together
exact = Context(prec=60, rounding=ROUND_HALF_UP)
# only random() and the arithmetic on it: its sequence is promised to stay the same between versions of Python
source = random.Random(4217)


def below(limit: int) -> int:
    return int(source.random() * limit)


def number() -> Decimal:
    """Up to 17 digits before the point and 9 after, as often short as long; a third end in a tie or beside one."""
    digits = "".join(str(below(10)) for _ in range(1 + below(17))).lstrip("0") or "0"
    tail = ["5", "499999", "500001", "", "", "", "", "", ""][below(9)]
    decimals = "".join(str(below(10)) for _ in range(below(10 - len(tail)))) + tail
    return Decimal(("-" if below(2) else "") + digits + ("." + decimals if decimals else ""))


def fixed(value: Decimal) -> str:
    return format(abs(value) if value.is_zero() else value, "f")


def case() -> list:
    a, b, scale = number(), number(), below(5)
    return [
        fixed(a),
        fixed(b),
        fixed(exact.add(a, b)),
        fixed(exact.multiply(a, b)),
        scale,
        fixed(a.quantize(Decimal(1).scaleb(-scale), context=exact)),
        fixed(exact.multiply(a, b).quantize(Decimal(1).scaleb(-scale), context=exact)),
    ]


with open("packages/core/test/decimal.golden.json", "w", encoding="utf-8", newline="\n") as file:
    file.write("[\n" + ",\n".join(json.dumps(case()) for _ in range(CASES)) + "\n]\n")
