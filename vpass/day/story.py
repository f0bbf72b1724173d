"""The whole citizen's day, thread after thread."""

from vpass.day import payment_steps, settlement_steps, status_steps, steps

STEPS = [*steps.STEPS, *payment_steps.STEPS, *settlement_steps.STEPS, *status_steps.STEPS]
