"""The whole citizen's day, thread after thread."""

from vpass.day import card_payment_steps, card_steps, payment_steps, settlement_steps, steps

STEPS = [
    *steps.STEPS,
    *payment_steps.STEPS,
    *card_steps.STEPS,
    *card_steps.CHARGED_STEPS,
    *card_payment_steps.STEPS,
    *settlement_steps.STEPS,
]
