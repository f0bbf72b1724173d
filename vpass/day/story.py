"""The whole citizen's day, thread after thread."""

from vpass.day import disclosure_steps, payment_steps, settlement_steps, steps

STEPS = [
    *steps.STEPS,
    *payment_steps.STEPS,
    *settlement_steps.STEPS,
    *disclosure_steps.STEPS,
]
