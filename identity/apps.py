"""Registers the identity floor: its resolvers of callers' keys."""

from django.apps import AppConfig

from vpass.common import callers, contributions, outbox
from vpass.common.figures import QUESTION


class IdentityConfig(AppConfig):
    """People, devices, codes, organisations and disclosure."""

    name = "identity"

    def ready(self) -> None:
        from identity import (
            deletion,
            devices,
            enrolment,
            figures,
            grants,
            level_checks,
            logins,
            machine_keys,
            organisations,
            proposals,
            staff,
            status_list,
        )

        callers.register_resolver("resident", devices.find_resident_caller)
        callers.register_resolver("machine", organisations.find_machine_caller)
        callers.register_resolver("staff", staff.find_staff_caller)
        contributions.register(QUESTION, "identity", figures.figures)
        outbox.subscribe(
            enrolment.ONE_TIME_CODE_DUE,
            "identity.send_one_time_code",
            enrolment.send_one_time_code,
            calls_out=True,
        )
        outbox.subscribe(
            deletion.DELETION_ASKED,
            "identity.tell_of_deletion",
            deletion.tell_of_request,
            calls_out=True,
        )
        outbox.subscribe(
            status_list.STATUS_CHANGED, "identity.sign_status_lists", status_list.sign_changed
        )
        contributions.register("purge_expired", "identity.tokens", devices.purge)
        contributions.register("purge_expired", "identity.grants", grants.purge)
        contributions.register("purge_expired", "identity.enrolments", enrolment.purge)
        contributions.register("purge_expired", "identity.level_checks", level_checks.purge)
        contributions.register("purge_expired", "identity.machine_keys", machine_keys.retire_due)
        contributions.register("purge_expired", "identity.proposals", proposals.expire_old)
        contributions.register("purge_expired", "identity.logins", logins.purge)
