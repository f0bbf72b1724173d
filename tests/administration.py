"""An organisation with an administrator and an approver, each at a desk of their own."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from identity.models import Organisation, Staff
from tests import city

ADMINISTRATION = "/api/administration/v1"


@dataclass
class Office:
    """Those who register what an organisation has; the root's is the city's."""

    city: Organisation
    administrator: city.DeskBrowser
    approver: city.DeskBrowser
    at: datetime

    def hire(self, username: str, roles: list[str]) -> city.DeskBrowser:
        """Somebody with these roles, signed in at a desk of their own."""
        return _hire(self.city, username, roles, at=self.at)

    def ask(
        self, action: str, subject: Any, detail: Any, *, by: city.DeskBrowser | None = None
    ) -> Any:
        """The answer to a proposal."""
        body = {"action": action, "subject": str(subject), "detail": detail}
        return self.post("proposals", body, by=by)

    def propose(
        self, action: str, subject: Any, detail: Any, *, by: city.DeskBrowser | None = None
    ) -> Any:
        """A proposal that waits."""
        answer = self.ask(action, subject, detail, by=by)
        assert answer.status_code == 201, answer.content
        return answer.json()

    def approve(
        self, proposal_id: str, *, by: city.DeskBrowser | None = None, key: str | None = None
    ) -> Any:
        """The answer to an approval."""
        return self.post(f"proposals/{proposal_id}/approval", {}, by=by or self.approver, key=key)

    def reject(self, proposal_id: str) -> Any:
        """The answer to a rejection."""
        return self.post(f"proposals/{proposal_id}/rejection", {}, by=self.approver)

    def agree(self, action: str, subject: Any, detail: Any) -> Any:
        """What two people have done."""
        answer = self.approve(self.propose(action, subject, detail)["id"])
        assert answer.status_code == 200, answer.content
        return answer.json()

    def suspend(self, kind: str, row_id: Any) -> Any:
        """The answer to a suspension by one person."""
        return self.post(f"{kind}/{row_id}/suspension", {"reason": "test"})

    def post(
        self, path: str, body: Any, *, by: city.DeskBrowser | None = None, key: str | None = None
    ) -> Any:
        """One request of the administrator's, or of another's."""
        browser = by or self.administrator
        return browser.send("POST", f"{ADMINISTRATION}/{path}", body, key=key or city.new_key())


def open_city(*, at: datetime, parent: Organisation | None = None) -> Office:
    """The city with its two administrators, or another organisation below one."""
    if parent is None:
        made = Organisation.objects.create(kind="city", name_zh="潍坊市", name_en="Weifang")
        suffix = ""
    else:
        suffix = secrets.token_hex(3)
        made = city.make_organisation(f"大厅{suffix}", parent=parent)
    return Office(
        made,
        _hire(made, f"administrator{suffix}", ["administrator"], at=at),
        _hire(made, f"approver{suffix}", ["approver"], at=at),
        at,
    )


def _hire(
    organisation: Organisation, username: str, roles: list[str], *, at: datetime
) -> city.DeskBrowser:
    browser = city.make_desk(organisation, name=f"{username}的办公室")
    city.sign_in_clerk(browser, username=username, at=at)
    Staff.objects.filter(user__username=username).update(roles=roles)
    return browser
