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
        "phone_given": {
            "phone_proven": "confirm_phone",
            "failed": "use_up_tries",
            "expired": "expire",
        },
        "phone_proven": {},
        "failed": {},
        "expired": {},
    },
    final={"phone_proven", "failed", "expired"},
)

# A way to level 3: a face check, or a number that the person says at a counter.
LEVEL_CHECK = EdgeTable(
    name="level_check",
    initial="asked",
    edges={
        "asked": {"passed": "pass", "failed": "fail", "expired": "expire"},
        "passed": {},
        "failed": {},
        "expired": {},
    },
    final={"passed", "failed", "expired"},
)

# What the population register tells by itself. Nobody decides between two accounts but people.
REGISTER_CHANGE = EdgeTable(
    name="register_change",
    initial="received",
    edges={
        "received": {
            "applied": "apply",
            "superseded": "pass_over",
            "unknown": "find_nobody",
            "review": "hold_back",
        },
        "review": {"applied": "apply", "dismissed": "dismiss"},
        "applied": {},
        "superseded": {},
        "unknown": {},
        "dismissed": {},
    },
    final={"applied", "superseded", "unknown", "dismissed"},
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

# A key retires when its successor has taken over; it is revoked when nobody may use it any more.
MACHINE_KEY = EdgeTable(
    name="machine_key",
    initial="active",
    edges={"active": {"retired": "retire", "revoked": "revoke"}, "retired": {}, "revoked": {}},
    final={"retired", "revoked"},
)

# What one administrator proposes, and another approves.
REGISTRATION_PROPOSAL = EdgeTable(
    name="registration_proposal",
    initial="proposed",
    edges={
        "proposed": {"approved": "approve", "rejected": "reject", "expired": "expire"},
        "approved": {},
        "rejected": {},
        "expired": {},
    },
    final={"approved", "rejected", "expired"},
)

# A person who is to work at an organisation chooses a password, then proves the second factor.
INVITATION = EdgeTable(
    name="invitation",
    initial="open",
    edges={
        "open": {"prepared": "choose_password", "replaced": "invite_again"},
        "prepared": {"accepted": "prove_factor", "replaced": "invite_again"},
        "accepted": {},
        "replaced": {},
    },
    final={"accepted", "replaced"},
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

# A resident disputes a line of the access log; the organisation's privacy officer answers.
DISPUTE = EdgeTable(
    name="dispute",
    initial="open",
    edges={
        "open": {"justified": "justify", "unjustified": "uphold", "withdrawn": "withdraw"},
        "justified": {},
        "unjustified": {},
        "withdrawn": {},
    },
    final={"justified", "unjustified", "withdrawn"},
)

CONSENT = EdgeTable(
    name="consent",
    initial="asked",
    edges={
        "asked": {"approved": "approve", "refused": "refuse", "expired": "expire"},
        "approved": {"released": "release", "withdrawn": "withdraw", "lapsed": "lapse"},
        "released": {"withdrawn": "withdraw"},
        "refused": {},
        "expired": {},
        "withdrawn": {},
        "lapsed": {},
    },
    final={"refused", "expired", "withdrawn", "lapsed"},
)

CASE_SHARE = EdgeTable(
    name="case_share",
    initial="offered",
    edges={
        "offered": {"opened": "open", "withdrawn": "withdraw", "expired": "expire"},
        "opened": {"concluded": "conclude"},
        "withdrawn": {},
        "expired": {},
        "concluded": {},
    },
    final={"withdrawn", "expired", "concluded"},
)

DELEGATION = EdgeTable(
    name="delegation",
    initial="offered",
    edges={
        "offered": {
            "active": "accept",
            "declined": "decline",
            "revoked": "revoke",
            "expired": "expire",
        },
        "active": {"revoked": "revoke", "expired": "expire"},
        "declined": {},
        "revoked": {},
        "expired": {},
    },
    final={"declined", "revoked", "expired"},
)

# A resident says that the record is wrong; the city's privacy officer answers.
CORRECTION = EdgeTable(
    name="correction",
    initial="open",
    edges={
        "open": {"granted": "grant", "refused": "refuse", "withdrawn": "withdraw"},
        "granted": {},
        "refused": {},
        "withdrawn": {},
    },
    final={"granted", "refused", "withdrawn"},
)

# A resident wants to be forgotten; until the time has passed, it can be called off.
DELETION = EdgeTable(
    name="deletion",
    initial="waiting",
    edges={
        "waiting": {"cancelled": "call_off", "refused": "meet_obligation", "done": "delete"},
        "cancelled": {},
        "refused": {},
        "done": {},
    },
    final={"cancelled", "refused", "done"},
)

# A login at a relying party: asked for in a browser, answered on the phone, ended by anybody.
LOGIN = EdgeTable(
    name="login",
    initial="asked",
    edges={
        "asked": {
            "approved": "approve",
            "refused": "refuse",
            "unmet": "fall_short",
            "expired": "expire",
        },
        "approved": {"signed_in": "exchange", "lapsed": "lapse", "withdrawn": "withdraw"},
        "signed_in": {
            "ended": "log_out",
            "lapsed": "lapse",
            "withdrawn": "withdraw",
            "reused": "revoke",
        },
        "refused": {},
        "unmet": {},
        "expired": {},
        "ended": {},
        "lapsed": {},
        "withdrawn": {},
        "reused": {},
    },
    final={"refused", "unmet", "expired", "ended", "lapsed", "withdrawn", "reused"},
)

# A nonce that a counter shows: signed by one phone, seen once by the counter.
REVERSE_SCAN = EdgeTable(
    name="reverse_scan",
    initial="shown",
    edges={
        "shown": {"answered": "answer", "expired": "expire"},
        "answered": {"collected": "collect", "lapsed": "lapse"},
        "collected": {},
        "expired": {},
        "lapsed": {},
    },
    final={"collected", "expired", "lapsed"},
)
