"""What one day must remember for the next: keys that are enrolled, and what is used up."""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path

from vpass.common import signing

FIRST_PLACE = 200  # the people before are for those who try the pages by hand, and for tests


@dataclass
class Memory:
    """Kept in a file of its owner, whole or not at all: call `save` after each change."""

    path: Path
    next_place: int = FIRST_PLACE
    keys: dict[str, str] = field(default_factory=dict)  # PEM, of desks and tills by name
    enrolled: list[str] = field(default_factory=list)  # whose keys the program knows
    # Of each member of staff, counted as in RFC 6238: codes of this step and before are used up.
    totp_steps: dict[str, int] = field(default_factory=dict)
    bay_free_at: int = 0  # until when the day's bay was taken, in Unix seconds

    @classmethod
    def load(cls, path: Path) -> "Memory":
        """What the last day left at `path`, or a fresh memory."""
        try:
            kept = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            kept = {}
        known = {each.name for each in fields(cls)} - {"path"}
        return cls(path, **{name: value for name, value in kept.items() if name in known})

    def take_place(self) -> int:
        """The place of somebody who was never taken before."""
        place = self.next_place
        self.next_place += 1
        self.save()
        return place

    def key(self, name: str) -> signing.P256Private:
        """The key of a till or desk, made the first time it is asked for."""
        if name not in self.keys:
            self.keys[name] = signing.private_pem(signing.generate_p256())
            self.save()
        return signing.load_private(self.keys[name])

    def note_enrolled(self, name: str) -> None:
        """The program knows this key from now on."""
        if name not in self.enrolled:
            self.enrolled.append(name)
        self.save()

    def note_bay_free(self, at: datetime) -> None:
        """No car can have stood in the day's bay before this moment and left after it."""
        self.bay_free_at = int(at.timestamp())
        self.save()

    def save(self) -> None:
        """Writes it down."""
        kept = {name: value for name, value in asdict(self).items() if name != "path"}
        unfinished = self.path.with_name(f"{self.path.name}.new")
        unfinished.unlink(missing_ok=True)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.path)
