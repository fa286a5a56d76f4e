"""What a search is asked for: one typed, serialisable description of a study.

Each option is written once, in `losssearch.request.groups`. The options of the command line, the signature and the
documentation of `losssearch.search`, the record that a study's folder keeps, and the JSON Schema are made of it.
"""

from losssearch.request import kinds
from losssearch.request.call import Call, check_argument, request_of, takes_options
from losssearch.request.description import DEFAULTS, OPTIONS, Request, check_range, flag, json_schema
from losssearch.request.duration import parse_duration
from losssearch.request.groups import GROUPS, Budget, Compute, Fairness, Output, Privacy, Splits
from losssearch.request.option import Option

__all__ = [
    "DEFAULTS",
    "GROUPS",
    "OPTIONS",
    "Budget",
    "Call",
    "Compute",
    "Fairness",
    "Option",
    "Output",
    "Privacy",
    "Request",
    "Splits",
    "check_argument",
    "check_range",
    "flag",
    "json_schema",
    "kinds",
    "parse_duration",
    "request_of",
    "takes_options",
]
