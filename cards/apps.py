"""Registers the cards floor with Django: it hears how the charges for taps stand."""

from django.apps import AppConfig

from vpass.common import contributions, outbox


class CardsConfig(AppConfig):
    """The wallet: card types, life cycle, scenes, terminals."""

    name = "cards"

    def ready(self) -> None:
        from cards import debts, personal
        from identity import deletion, own_data

        contributions.register(own_data.EXPORT, "cards", personal.export)
        contributions.register(deletion.OBLIGATIONS, "cards", personal.open_obligations)
        contributions.register(deletion.FORGET, "cards", personal.forget)

        for event in (debts.CHARGE_DUE, debts.CHARGE_PAID, debts.CHARGE_CANCELLED):
            outbox.subscribe(event, debts.CONSUMER, debts.follow_charge)
