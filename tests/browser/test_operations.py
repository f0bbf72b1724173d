"""The operations page and the city's wall, with the whole program behind them."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import overflow
from tests.browser.test_counter import one_time_password
from tests.faults.kills import state_dir_of
from vpass import embedded
from vpass.supervisor import Run

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def room(open_page: Callable[..., Page], stack: Run, logins: dict[str, Any]) -> Page:
    """The operations room's browser, enrolled, with the operator signed in."""
    page = open_page(viewport={"width": 1440, "height": 900})
    login = logins["operations"]
    page.goto(f"{stack.web_url}/operations/")
    page.fill("#enrolment-code", login["desk_enrolment_code"])
    page.keyboard.press("Enter")
    page.wait_for_selector("#username:visible")
    page.fill("#username", login["staff"]["username"])
    page.fill("#password", login["staff"]["password"])
    page.fill("#one-time-code", one_time_password(login["staff"]["totp_secret"]))
    page.keyboard.press("Enter")
    page.wait_for_selector("#today [data-figure=payments]")
    return page


def test_operations__engines_and_figures__shown_in_both_languages(room: Page) -> None:
    assert room.locator("#engines [data-up=true]").count() == 4
    assert room.locator("#waits [data-figure=outbox_dead] dd").inner_text() == "0"
    assert "付款笔数" in room.inner_text("#today")

    room.click("[data-language]")

    assert "Payments" in room.inner_text("#today")
    assert "Background jobs" in room.inner_text("#engines")
    room.click("[data-language]")


def test_operations__dead_letter__seen_within_seconds_and_sent_again(
    room: Page, stack: Run
) -> None:
    with closing(psycopg2.connect(embedded.owner_url(state_dir_of(stack)))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO common_outbox (event_id, name, consumer, payload, published_at,"
                " due_at, state, attempts, error) VALUES (gen_random_uuid(), 'city.tested',"
                " 'nobody', '{}', clock_timestamp(), clock_timestamp(), 'dead', 10, 'KeyError')"
            )

    expect(room.locator("#letters li")).to_have_count(1, timeout=10_000)
    assert "city.tested" in room.inner_text("#letters")
    room.click("#letters button")

    expect(room.locator("#letters li")).to_have_count(0)
    expect(room.locator("#letters-none")).to_be_visible()


def test_city__same_desk_and_session__large_figures_that_fit_a_phone(
    room: Page, stack: Run
) -> None:
    wall = room.context.new_page()
    wall.goto(f"{stack.web_url}/city/")
    wall.wait_for_selector("#today [data-figure=payments_fen]")
    assert wall.locator("#today svg.bars").count() >= 3
    assert overflow(wall) == 0

    wall.set_viewport_size({"width": 375, "height": 720})

    assert overflow(wall) == 0
    wall.close()
    room.set_viewport_size({"width": 375, "height": 720})
    assert overflow(room) == 0
