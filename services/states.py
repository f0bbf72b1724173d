"""The edge tables of the city's counters: bookings and queue tickets."""

from vpass.common.states import EdgeTable

# A hold whose time is over counts as expired from that moment, whenever it is written down.
BOOKING = EdgeTable(
    name="booking",
    initial="held",
    edges={
        "held": {"booked": "confirm", "cancelled": "give_back", "expired": "expire"},
        "booked": {"checked_in": "check_in", "cancelled": "cancel", "missed": "stay_away"},
        "checked_in": {"served": "serve", "missed": "miss_call", "cancelled": "close_day"},
        "served": {},
        "cancelled": {},
        "expired": {},
        "missed": {},
    },
    final={"served", "cancelled", "expired", "missed"},
)

# Those who were missed come back into the queue when they turn up; `closed`: the day ended first.
TICKET = EdgeTable(
    name="ticket",
    initial="waiting",
    edges={
        "waiting": {"called": "call", "closed": "close_day"},
        "called": {
            "called": "recall",
            "serving": "serve",
            "missed": "miss",
            "closed": "close_day",
        },
        "serving": {"served": "finish", "closed": "close_day"},
        "missed": {"waiting": "come_back", "closed": "close_day"},
        "served": {},
        "closed": {},
    },
    final={"served", "closed"},
)
