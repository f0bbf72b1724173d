"""The whole citizen's day, thread after thread."""

from vpass.day import (
    administration_steps,
    bill_steps,
    booking_steps,
    card_payment_steps,
    card_steps,
    closing_steps,
    disclosure_steps,
    iot_steps,
    level_steps,
    login_steps,
    paying_steps,
    payment_steps,
    settlement_steps,
    status_steps,
    steps,
)

STEPS = [
    *steps.STEPS,
    *payment_steps.STEPS,
    *card_steps.STEPS,
    *card_steps.CHARGED_STEPS,
    *card_payment_steps.STEPS,
    *iot_steps.STEPS,
    *bill_steps.STEPS,
    *booking_steps.STEPS,
    *settlement_steps.STEPS,
    *paying_steps.STEPS,
    *closing_steps.STEPS,
    *disclosure_steps.STEPS,
    *login_steps.STEPS,
    *status_steps.STEPS,
    *level_steps.STEPS,
    *administration_steps.STEPS,
]
