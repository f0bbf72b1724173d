"""The edge tables of cards: which state may follow which, and by what event."""

from vpass.common.states import EdgeTable

CARD = EdgeTable(
    name="card",
    initial="pending",
    edges={
        "pending": {"active": "confirm", "unbound": "give_up"},
        "active": {
            "lost": "report_lost",
            "replaced": "replace",
            "expired": "expire",
            "unbound": "unbind",
        },
        "lost": {"replaced": "replace", "expired": "expire", "unbound": "unbind"},
        "expired": {"replaced": "replace", "unbound": "unbind"},
        "replaced": {},
        "unbound": {},
    },
    final={"replaced", "unbound"},
)

# A card in one of these takes up its number and its owner's place for a card of its type.
LIVING = ("active", "lost", "pending")
