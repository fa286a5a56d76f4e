"""What the proxy's configuration must not do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "deploy/nginx/losssearch.conf.template").read_text(encoding="utf-8")


@pytest.mark.parametrize("directive", ["return", "rewrite", "add_header", "proxy_set_header"])
def test_no_header_is_made_of_a_decoded_path(directive: str) -> None:
    # nginx decodes %0d%0a in $uri and writes it as it is: the sender would add headers, such as a cookie.
    lines = re.findall(rf"^\s*{directive}\s.*$", TEXT, re.MULTILINE)
    assert [line.strip() for line in lines if re.search(r"\$\{?(document_)?uri\b", line)] == []
    assert lines or directive == "rewrite"


def test_what_is_too_large_is_refused_in_the_words_of_the_api() -> None:
    """As `tests.services.pages.test_foreign` shows, whatever is announced with that length is answered by its kind."""
    found = re.search(r"location @too_large \{(.*?)\}", TEXT, re.DOTALL)
    assert found is not None
    told = re.findall(r"^\s*(\w+) (.*);$", found[1], re.MULTILINE)
    assert ("proxy_pass", "$api") in told
    assert ("proxy_pass_request_body", "off") in told
    assert ("proxy_set_header", "Content-Length 9000000000000000") in told
    assert not [name for name, _ in told if name == "return"]
    # Headers of a location are set in place of those of the server, so that these must be here too.
    server = set(re.findall(r"^    proxy_set_header (X-\S+|Host) (.*);$", TEXT, re.MULTILINE))
    assert server
    assert server <= {tuple(rule.split(" ", 1)) for name, rule in told if name == "proxy_set_header"}


def test_a_location_with_an_error_page_of_its_own_has_those_of_the_server_too() -> None:
    # nginx answers by pages of its own otherwise.
    every = set(re.findall(r"^    error_page (.*);$", TEXT, re.MULTILINE))
    assert every
    locations = re.findall(r"^    location [^{]*\{\n(.*?)^    \}", TEXT, re.DOTALL | re.MULTILINE)
    own = [set(re.findall(r"error_page (.*);", one)) for one in locations if "error_page" in one]
    assert own
    assert all(every <= one for one in own), own
