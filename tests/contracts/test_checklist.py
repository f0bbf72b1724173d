"""The checklist's lines on tokens, codes, identity and log-in, and the tests that show each.

A line here names what must hold, with the rulings of the design where they differ from the list;
the tests named must be there and must not be skipped. Likewise the product's lines have their
journeys, and operations their examples.
"""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
LINE = re.compile(r"(?<=_)([ip][0-9]+)")

CHECKLIST: dict[int, tuple[str, tuple[str, ...]]] = {
    20: (
        "Only listed algorithms; none and HS/RS swaps refused",
        (
            "common/test_signing.py::test_decode_jws__hostile_header__refused",
            "common/test_signing.py::test_verification_key__algorithm_is_pinned",
            "common/test_http_signatures.py::test_verify_request__header_changed__exact_code",
            "identity/test_server_codes.py::test_read__not_as_it_must_be__refused_and_nothing_left",
        ),
    ),
    21: (
        "jku, x5u and jwk refused; an unknown key id refused and looked up once a minute",
        (
            "common/test_signing.py::test_decode_jws__hostile_header__refused",
            "identity/test_keys.py::test_verification_key__unknown_id__looked_up_once_a_minute_at_most",
            "identity/test_codes.py::test_redeem__grant_that_is_not_ours__refused_and_nothing_left",
        ),
    ),
    22: (
        "Times, issuer, audience and type enforced; no text opens another's door",
        (
            "common/test_signing.py::test_decode_jws__times__judged_at_the_moment_passed",
            "common/test_signing.py::test_decode_jws__audience",
            "common/test_signing.py::test_decode_jws__required_claim_missing__refused",
            "identity/test_devices.py::test_renew__other_type_of_token__refused",
            "identity/test_token_confusion.py::test_text__at_every_door__opens_its_own_alone",
            "identity/test_token_confusion.py::test_grant_as_status_list_and_back__unreadable",
            "identity/test_refresh_tokens.py::test_refresh_token__as_access_token__opens_nothing",
        ),
    ),
    23: (
        "A code accepted once by any number of scanners, counted by its content",
        (
            "races/test_redeem_race.py::test_redeem__fifty_scanners_with_one_code__one_wins",
            "races/test_redeem_race.py::test_redeem__guard_off__the_same_race_shows",
            "races/test_code_races.py::test_server_code__twenty_scanners__one_wins",
            "races/test_payment_races.py::test_pay__one_code_at_ten_tills__one_payment",
            "races/test_card_races.py::test_tap__one_code_at_twenty_buses__one_ride_and_one_fare",
            "identity/test_codes.py::test_redeem__resigned_copy_of_a_used_code__already_used",
        ),
    ),
    24: (
        "A code lives from 60 s ago to 30 s ahead, everywhere",
        (
            "identity/test_codes.py::test_redeem__within_sixty_seconds__accepted",
            "identity/test_codes.py::test_redeem__older_than_sixty_seconds__expired_and_nothing_left",
            "identity/test_codes.py::test_redeem__thirty_seconds_ahead__accepted_and_one_more_refused",
            "identity/test_code_format.py::test_check_code__around_its_window__both_ends_belong_to_it",
            "identity/test_reference_verifier.py::test_moments_around_the_limits__both_readers__agree",
            "identity/test_server_codes.py::test_read__lives_longer_than_a_minute__unreadable",
        ),
    ),
    25: (
        "A code holds nothing personal, and only the scenes that were signed",
        (
            "identity/test_unlinkable.py::test_codes__of_two_grants_of_one_phone__share_no_more_than_strangers",
            "identity/test_unlinkable.py::test_server_codes__of_one_phone__share_no_more_than_strangers",
            "contracts/test_canaries.py::test_canaries__after_every_flow__nowhere_in_clear",
            "identity/test_code_format.py::test_allows__signed_scenes_only",
            "identity/test_server_codes.py::test_code__for_one_scene__no_other",
        ),
    ),
    26: (
        "Withdrawn person or phone: refused at once",
        (
            "identity/test_lost_phones.py::test_freeze__from_another_phone__codes_tokens_and_list_at_once",
            "identity/test_suspensions.py::test_suspended_whole__nothing_is_accepted_and_no_grant_issued",
            "identity/test_server_codes.py::test_code__phone_frozen_or_person_suspended__refused_at_once",
            "races/test_redeem_race.py::test_redeem__while_the_device_is_frozen__accepted_before_or_revoked_after",
            "identity/test_reasons.py::test_code__not_good__online_and_offline_the_same_reason",
        ),
    ),
    27: (
        "An old key verifies until the last of its grants has lapsed, and then no more",
        (
            "identity/test_keys.py::test_old_key__verifies_until_retired_and_then_no_more",
            "identity/test_keys.py::test_rotate__a_year_of_hourly_runs__never_an_unknown_key",
            "identity/test_scanner_bundle.py::test_bundle__of_before_a_rotation__reads_what_the_next_key_signs",
        ),
    ),
    28: (
        "Sign-out, a new password, a phone's end and an account's end kill every token",
        (
            "identity/test_refresh_tokens.py::test_sign_out__every_token_ends_at_once",
            "identity/test_refresh_tokens.py::test_sign_out__over_http__the_next_request_refused",
            "identity/test_lost_phones.py::test_move__proven_again__old_phones_end_with_grants_and_tokens",
            "identity/test_staff.py::test_sign_out__session__ended_and_refused",
            "identity/test_staff.py::test_password_changed__however__signed_out_everywhere_and_nobody_else",
            "contracts/test_access.py::test_resident__no_longer_in_force__refused_with_the_next_request",
            "contracts/test_access.py::test_staff__no_longer_in_force__refused_with_the_next_request",
        ),
    ),
    29: (
        "A refresh token used again ends its family",
        (
            "identity/test_refresh_tokens.py::test_refresh__used_token_again__family_and_its_access_tokens_end",
            "races/test_code_races.py::test_refresh__one_token_in_ten_threads__one_wins_and_the_family_ends",
            "races/test_code_races.py::test_refresh__guard_off__the_same_race_shows",
        ),
    ),
    30: (
        "Machines sign method, target, digest, time and nonce; no repeats",
        (
            "common/test_http_signatures.py::test_verify_request__header_changed__exact_code",
            "common/test_http_signatures.py::test_verify_request__message_changed__exact_code",
            "common/test_http_signatures.py::test_verify_request__age__sixty_back_and_thirty_ahead",
            "common/test_api_authentication.py::test_machine__same_nonce_twice__second_refused",
            "common/test_api_authentication.py::test_machine__work_fails__nonce_stays_spent",
            "common/test_api_authentication.py::test_bank__answer_is_signed_and_tied_to_the_request",
        ),
    ),
    31: (
        "OAuth: PKCE S256 and exact ways back, codes once, no other flow; banks have none, and "
        "nothing but a signature opens their routes",
        (
            "identity/test_oidc.py::test_request__bad__sent_back_with_its_error_and_nothing_waits",
            "identity/test_oidc.py::test_request__unknown_party_or_way_back__refused_without_sending_the_browser_anywhere",
            "identity/test_oidc.py::test_browser__another_than_began_it__gets_neither_state_nor_code",
            "identity/test_oidc.py::test_code__with_anything_wrong__invalid_grant_and_no_tokens",
            "identity/test_oidc.py::test_code__a_wrong_verifier_first__used_up_all_the_same",
            "identity/test_oidc.py::test_code__twice__the_tokens_of_the_first_die",
            "identity/test_oidc.py::test_tokens__each_kind_good_for_its_own_use_only",
            "identity/test_oidc.py::test_registration__unsafe_ways_back__refused",
            "contracts/test_access.py::test_access__each_kind_of_caller__the_expected_answer",
            "contracts/test_access.py::test_audiences__each_has_an_admission",
        ),
    ),
    32: (
        "A callback badly signed, old or repeated is refused and logged",
        (
            "contracts/test_callbacks.py::test_callback__badly_signed__refused_and_logged_and_nothing_done",
            "contracts/test_callbacks.py::test_push__wrong_secret__refused_and_logged_without_it",
            "iot/test_intake.py::test_push__wrong_secret_or_source__refused_and_nothing_stored",
        ),
    ),
    33: (
        "A second factor for staff; a fresh signature for paying large, consent and export",
        (
            "identity/test_staff.py::test_sign_in__any_wrong_part__same_refusal_and_no_session",
            "identity/test_staff.py::test_sign_in__same_one_time_code_twice__refused",
            "identity/test_disputes.py::test_export__stale_replayed_foreign_or_for_another_route__refused_and_nothing_written",
            "identity/test_consent.py::test_approve__signed_over_anything_else__refused_and_nothing_changed",
            "payments/test_orders.py::test_confirm__signed_otherwise__refused_and_it_still_waits",
        ),
    ),
    34: (
        "One-time codes: once, five minutes, five tries, one a minute and ten a day",
        (
            "identity/test_enrolment.py::test_confirm__twice__second_over",
            "identity/test_enrolment.py::test_confirm__after_five_minutes__over",
            "identity/test_enrolment.py::test_confirm__wrong_code__counted_and_nothing_made",
            "identity/test_enrolment.py::test_confirm__fifth_try_right__still_good",
            "identity/test_enrolment.py::test_start__twice_in_a_minute__refused_whichever_phone_asks",
            "identity/test_enrolment.py::test_start__eleventh_code_of_a_day__refused",
            "identity/test_enrolment.py::test_start__number__code_goes_out_once_and_stands_nowhere_in_clear",
        ),
    ),
    35: (
        "Failed tries bounded by account, by source, and a hundred in all",
        (
            "identity/test_staff.py::test_sign_in__eleventh_try__refused_even_when_right",
            "identity/test_staff.py::test_sign_in__guessed_slowly__ends_at_a_hundred",
            "identity/test_staff.py::test_sign_in__many_names_at_one_desk__the_desk_is_stopped_and_no_other",
            "identity/test_lost_phones.py::test_move__five_wrong_proofs__over",
            "identity/test_enrolment.py::test_prove__sixth_try_of_a_day__refused_unasked",
            "common/test_limits.py::test_spend__caller_rolls_back_later__still_counted",
            "common/test_limits.py::test_spend__thirty_at_the_same_moment__never_more_than_the_maximum",
        ),
    ),
    36: (
        "An unknown user gets the same answer after the same work",
        (
            "identity/test_staff.py::test_sign_in__unknown_user_or_wrong_password__same_answer_and_same_work",
            "identity/test_enrolment.py::test_start__number_with_an_account__answers_like_any_other",
            "identity/test_delegation.py::test_offer__to_a_number_nobody_has__answers_alike",
        ),
    ),
    37: (
        "Passwords of 15 characters and more, up to 256, not common, of any composition",
        ("identity/test_staff.py::test_password__long_and_not_common__is_all_that_is_asked",),
    ),
    38: (
        "One census identity, one active account; another phone needs the proof again",
        (
            "identity/test_enrolment.py::test_prove__person_with_another_account__taken",
            "races/test_redeem_race.py::test_prove_identity__one_person_in_ten_accounts__one_wins",
            "identity/test_lost_phones.py::test_move__not_proven__refused_counted_and_the_old_phone_stays",
            "identity/test_devices.py::test_bind_device__key_of_another_account__refused",
        ),
    ),
}  # fmt: skip


@cache
def named_in(path: Path) -> frozenset[str]:
    """The tests of a file that are not skipped."""
    return frozenset(
        node.name
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and not any("skip" in ast.unparse(each) for each in node.decorator_list)
    )


def test_product__each_line_of_identity_and_cloud_pay__has_its_journey():
    walked = {
        line
        for path in (TESTS / "journeys").glob("test_*.py")
        for name in named_in(path)
        for line in LINE.findall(name.partition("__")[0])
    }

    assert walked >= {f"i{line}" for line in range(1, 17)}
    assert walked >= {f"p{line}" for line in (1, 2, 4, 5, 6, 7, 8, 14, 15)}


def test_documents__each_operation_that_tells_or_takes_something__has_an_example():
    document = json.loads((TESTS.parent / "docs" / "openapi.json").read_text("utf-8"))

    bare = [
        f"{method} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in ("get", "post", "put", "patch") and '"example' not in json.dumps(operation)
    ]

    assert bare == ["get /.well-known/vpass-status/{number}"]  # bytes


def test_checklist__every_line_from_20_to_38():
    assert list(CHECKLIST) == list(range(20, 39))


@pytest.mark.parametrize("number", CHECKLIST)
def test_line__its_tests__are_there(number: int):
    what, shown_by = CHECKLIST[number]

    missing = [
        each
        for each in shown_by
        if not (TESTS / each.partition("::")[0]).is_file()
        or each.partition("::")[2] not in named_in(TESTS / each.partition("::")[0])
    ]

    assert what and shown_by
    assert missing == []
