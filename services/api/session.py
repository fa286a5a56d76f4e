"""``/v1/session``: logging in and out, and who one is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from services.access import audit, known, passwords, people, sessions
from services.access.principal import DeniedError
from services.access.sessions import LIFE, Session
from services.api import answers
from services.api.bodies import LogIn
from services.api.guard import Reader, address_of, browser_name, cookie_name
from services.api.service import Here, Service
from services.settings import Settings

routes = APIRouter(prefix="/v1/session", tags=["session"])


@routes.post("")
def log_in(body: LogIn, request: Request, response: Response, service: Here) -> answers.Who:
    """Open a session: the cookie comes with the answer, and so does what changes must send along."""
    session = open_session(service, body.name, body.password, request)
    set_cookie(response, service.settings, session)
    return who_of(session.principal)


@routes.get("")
def show_session(response: Response, service: Here, who: Reader) -> answers.Who:
    """Who asks. A proxy may ask this before it lets anyone to what it guards, such as the experiment of the team."""
    team = service.read(lambda connection: people.find_team(connection, who.team))
    response.headers["X-Losssearch-User"] = who.name
    response.headers["X-Losssearch-Team"] = who.team
    response.headers["X-Losssearch-Experiment"] = f"losssearch/{team['name']}"
    return who_of(who)


@routes.delete("", status_code=204)
def log_out(request: Request, response: Response, service: Here, who: Reader) -> None:
    """End the session."""
    del who
    if secret := request.cookies.get(cookie_name(service.settings)):
        service.write(lambda c: sessions.log_out(c, secret))
    clear_cookie(response, service.settings)


def open_session(service: Service, name: str, password: str, request: Request) -> Session:
    """Log a user in.

    Raises:
        DeniedError: name and password do not fit.
        TooManyError: there were too many failures.
    """
    browser = request.cookies.get(browser_name(service.settings))
    tried = service.read(lambda c: sessions.attempt(c, name, address_of(request), browser))
    fits = passwords.matches(password, tried.kept)  # takes a while: no transaction is held open meanwhile

    def work(connection: Connection) -> Session | None:
        found = sessions.log_in(connection, tried, fits=fits)
        audit.record(connection, found.principal if found else None, "login" if found else "login.failed", name)
        return found

    session = service.write(work)
    if session is None:
        raise DeniedError("name and password must be those of a user, these are not")
    return session


def follow_link(service: Service, code: str, address: str) -> Session:
    """Log in with the code of a login link; as `open_session` otherwise."""

    def work(connection: Connection) -> Session | None:
        found = sessions.follow(connection, code, address)
        audit.record(connection, found.principal if found else None, "login.link" if found else "login.failed", "link")
        return found

    session = service.write(work)
    if session is None:
        raise DeniedError("a login link is valid once and for ten minutes, this one is not")
    return session


def set_cookie(response: Response, settings: Settings, session: Session) -> None:
    """Give the browser its session, and what it is known by at the next login."""
    given = ((cookie_name(settings), session.secret, LIFE), (browser_name(settings), session.browser, known.KEPT))
    for name, secret, life in given:
        response.set_cookie(
            name, secret, max_age=int(life), path="/", secure=settings.secure, httponly=True, samesite="lax"
        )


def clear_cookie(response: Response, settings: Settings) -> None:
    """Take the browser's session away."""
    response.delete_cookie(cookie_name(settings), path="/", secure=settings.secure, httponly=True, samesite="lax")


def who_of(principal: Any) -> answers.Who:
    """Who asks, as an answer."""
    facts = ("user", "name", "team", "role", "scope", "csrf")
    return answers.Who.model_validate({name: getattr(principal, name) for name in facts})
