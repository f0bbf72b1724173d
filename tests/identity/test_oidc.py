"""Logging in with V Pass: from a relying party's page over the phone to tokens, and to the end."""

from datetime import datetime
from typing import Any

import joserfc.jwt
import pytest
from django.conf import settings
from django.test import Client
from joserfc.jwk import KeySet

from identity import disclosure
from identity.models import (
    AccessLine,
    Login,
)
from tests import city, relying

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site(at: datetime) -> relying.Site:
    return relying.open_site(at=at)


def read_id_token(text: str) -> dict[str, Any]:
    """The claims, verified by an independent library with what anybody may fetch."""
    keys = KeySet.import_key_set(Client().get("/.well-known/vpass-keys.json").json())
    token = joserfc.jwt.decode(text, keys, algorithms=["ES256"])
    assert token.header["typ"] == "JWT"
    return dict(token.claims)


def test_login__approved_on_the_phone__tokens_claims_and_a_line_in_the_log(
    site: relying.Site, phone: city.Phone, at: datetime
):
    browser = relying.Browser()
    begun = browser.begin(site.query()).json()
    assert browser.state(begun["id"]) == "asked"
    assert city.problem(browser.go_back(begun["id"])) == (409, "login.waiting")
    shown = relying.look(phone, begun["handle"]).json()
    assert shown["fields"] == relying.FIELDS and shown["level"] == 1

    relying.approve(phone, begun, at=at)
    back = relying.sent_back(browser.go_back(begun["id"]))
    assert back["state"] == "st-1"
    given = site.exchange(back["code"])
    assert given.status_code == 200, given.content
    told = site.user_info(given.json()["access_token"])

    organisation_id = site.party.organisation_id
    subject = disclosure.pseudonym(
        resident_id=phone.device.resident_id, organisation_id=organisation_id
    )
    claims = read_id_token(given.json()["id_token"])
    assert claims["iss"] == settings.PUBLIC_URL
    assert (claims["sub"], claims["aud"]) == (subject, site.party.client_id)
    assert (claims["nonce"], claims["acr"], claims["amr"]) == ("n-1", "urn:vpass:level:2", ["swk"])
    assert told.json() == {"sub": subject, "name": city.PEOPLE[0].real_name, "over_18": True}
    signed_in, read = AccessLine.objects.filter(organisation=organisation_id).order_by("id")
    assert (signed_in.scene, signed_in.fields, signed_in.outcome) == ("login", [], "accepted")
    assert read.fields == relying.FIELDS
    login = Login.objects.get()
    assert login.state == "signed_in" and login.word and login.receipt
    assert city.problem(browser.go_back(begun["id"])) == (409, "login.over")
