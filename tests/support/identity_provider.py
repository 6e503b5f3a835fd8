"""A stand-in for a provider of identities that speaks OAuth as Okta does."""

from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import RedirectResponse

KEY, SECRET = "flower", "known to both"


@dataclass(slots=True)
class IdentityProvider:
    """Signs everybody in as `person`; a code is good for one token, and a token for one question."""

    person: dict[str, Any] = field(default_factory=dict)
    """What it tells of whoever signs in next: ``email`` and ``email_verified``."""
    codes: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)

    def authorize(
        self, client_id: str, redirect_uri: str, response_type: str, state: str
    ) -> RedirectResponse:
        """Send the browser back with a code and the state it came with."""
        if (client_id, response_type) != (KEY, "code"):
            raise HTTPException(400)
        code = uuid4().hex
        self.codes[code] = redirect_uri, dict(self.person)
        return RedirectResponse(f"{redirect_uri}?{urlencode({'code': code, 'state': state})}", 302)

    async def exchange(self, request: Request) -> dict[str, str]:
        """Give a token for a code, to who knows the secret."""
        sent = dict(parse_qsl((await request.body()).decode()))
        asked_from, person = self.codes.pop(sent["code"], ("", {}))
        if (sent["client_id"], sent["client_secret"], sent["redirect_uri"]) != (KEY, SECRET, asked_from):
            raise HTTPException(400)
        token = uuid4().hex
        self.tokens[token] = person
        return {"access_token": token, "token_type": "Bearer"}

    def tell(self, authorization: Annotated[str, Header()]) -> dict[str, Any]:
        """Tell who holds a token."""
        person = self.tokens.pop(authorization.removeprefix("Bearer "), None)
        if person is None:
            raise HTTPException(401)
        return person

    def application(self) -> FastAPI:
        """Return its HTTP interface, at Okta's addresses."""
        app = FastAPI()
        app.get("/v1/authorize")(self.authorize)
        app.post("/v1/token")(self.exchange)
        app.get("/v1/userinfo")(self.tell)
        return app
