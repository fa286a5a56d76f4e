"""Names and texts that people and their data bring along are text on every page, whatever they look like."""

from __future__ import annotations

import csv
import io

import pytest

from services.pages.rendering import environment
from tests.services.api.serving import Running
from tests.services.pages.people import Page, Person
from tests.services.pages.results import begin, end

HTML = "<hostile onclick=x()>\"'&</title><script>x()</script>"
FORMULA = "=cmd|' /C calc'!A0{{7*7}}${7*7}"
RTL = "\u202eevil\u2066 שלום \u200f"
LONG = "long-" * 17


@pytest.fixture(scope="module", params=[HTML, FORMULA, RTL, LONG], ids=["html", "formula", "rtl", "long"])
def hostile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def table(name: str) -> str:
    """A table whose columns and cells have a hostile name."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([name, f"{name}-group", "x"])
    for n in range(60):
        writer.writerow([name if n % 3 else "no", f"{name}{n % 2}", n])
    return text.getvalue()


def test_every_page_shows_it_as_text(running: Running, admin: Person, hostile: str) -> None:
    plain = "".join(letter for letter in hostile if letter.isprintable())
    dataset = admin.upload(table(plain), name=plain)
    step = admin.client.build_request(
        "GET", "/searches/new", params={"dataset": dataset, "target": plain, "sensitive": f"{plain}-group"}
    )
    search = admin.ask(dataset, name=plain[:100], target=plain, sensitive=f"{plain}-group")
    begin(running, search, note=f"{hostile} {plain}", title=hostile)
    pages = [admin.look(f"/searches/{search}"), admin.look(f"/searches/{search}/live")]
    end(running, search, text=hostile, formula=hostile, gap=hostile)
    admin.send("/tokens", 200, name=plain[:100], scope="read", days="")
    looked = ("/searches", f"/searches/{search}", f"/searches/{search}/report", "/datasets", f"/datasets/{dataset}")
    more = ("/searches/new", f"/searches/new?dataset={dataset}", "/tokens", "/admin", "/admin/audit")
    pages += [admin.look(address) for address in (*looked, *more)]
    pages.append(Page(admin.client.send(step)))
    pages.append(Page(admin.send("/searches", 422, dataset=dataset, target=plain, trials=hostile, metric=hostile)))
    for page in pages:
        page.require_harmless()
    shown = [page for page in pages if plain.strip()[:60] in page.text]
    assert len(shown) >= len(pages) - 2, [str(page.answer.url) for page in pages if page not in shown]
    assert "<bdi>" in pages[0].answer.text


def test_templates_escape_and_miss_nothing() -> None:
    made = environment()
    assert made.autoescape is True
    for name in made.list_templates(extensions=["html"]):
        source = made.loader.get_source(made, name)[0]
        made.get_template(name)
        for word in ("|safe", "| safe", "autoescape", "style=", "onclick", "javascript:", "http://", "https://"):
            assert word not in source, (name, word)
