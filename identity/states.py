"""The edge tables of identity: which state may follow which, and by what event."""

from vpass.common.states import EdgeTable

RESIDENT = EdgeTable(
    name="resident",
    initial="active",
    edges={
        "active": {"suspended": "suspend", "closed": "close"},
        "suspended": {"active": "lift", "closed": "close"},
        "closed": {},
    },
    final={"closed"},
)

DEVICE = EdgeTable(
    name="device",
    initial="active",
    edges={
        "active": {"frozen": "freeze", "ended": "end"},
        "frozen": {"active": "thaw", "ended": "end"},
        "ended": {},
    },
    final={"ended"},
)

ENROLMENT = EdgeTable(
    name="enrolment",
    initial="phone_given",
    edges={
        "phone_given": {"phone_proven": "confirm_phone", "failed": "use_up_tries"},
        "phone_proven": {},
        "failed": {},
    },
    final={"phone_proven", "failed"},
)

SIGNING_KEY = EdgeTable(
    name="signing_key",
    initial="next",
    edges={
        "next": {"current": "activate"},
        "current": {"previous": "supersede"},
        "previous": {"retired": "retire"},
        "retired": {},
    },
    final={"retired"},
)

# Organisations, desks, terminals and staff are switched off and on by an administrator.
REGISTRATION = EdgeTable(
    name="registration",
    initial="active",
    edges={"active": {"suspended": "suspend"}, "suspended": {"active": "lift"}},
    final=set(),
)

MACHINE_KEY = EdgeTable(
    name="machine_key",
    initial="active",
    edges={"active": {"retired": "retire"}, "retired": {}},
    final={"retired"},
)

# Each source lifts only its own, so a suspension has a life of its own.
SUSPENSION = EdgeTable(
    name="suspension",
    initial="in_force",
    edges={"in_force": {"lifted": "lift"}, "lifted": {}},
    final={"lifted"},
)

TOKEN_FAMILY = EdgeTable(
    name="token_family",
    initial="alive",
    edges={
        "alive": {"ended": "end", "reused": "revoke"},
        "ended": {},
        "reused": {},
    },
    final={"ended", "reused"},
)
