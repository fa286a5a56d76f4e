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
