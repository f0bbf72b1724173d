"""The day is over: the resident reads who has seen the code, from the counter to the bus."""

from collections import Counter

from vpass.day import booking_steps, card_payment_steps, card_steps, steps
from vpass.day.checks import same
from vpass.day.payment_actors import all_items
from vpass.day.play import Day, Step, adding_to

STEPS: list[Step] = []
step = adding_to(STEPS)


@step(
    "The access log shows each use of the day, by scene",
    needs=(
        steps.read_access_log,
        card_payment_steps.pay_by_card,
        card_steps.lift,
        booking_steps.check_in,
    ),
)
def read_day(day: Day) -> str:
    lines = all_items(lambda query: day.phone.send("GET", f"/access-log{query}"))
    used = Counter(line["scene"] for line in lines if line["outcome"] == "accepted")
    same("scenes", set(used), {"id", "pay", "bus", "check_in"})
    same("lines that name nobody", [line["id"] for line in lines if not line["organisation"]], [])
    return ", ".join(f"{count} {scene}" for scene, count in sorted(used.items()))
