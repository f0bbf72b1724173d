"""What one day must remember for the next: the desk's key, and what can be used only once."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

FIRST_PLACE = 200  # the people before are for those who try the pages by hand, and for tests


@dataclass
class Memory:
    """Kept in a file of its owner, whole or not at all: call `save` after each change."""

    path: Path
    next_place: int = FIRST_PLACE
    desk_key: str = ""  # PEM
    is_desk_enrolled: bool = False
    totp_step: int = 0  # counted as in RFC 6238; a code of this step or an earlier one is used up

    @classmethod
    def load(cls, path: Path) -> "Memory":
        """What the last day left at `path`, or a fresh memory."""
        try:
            kept = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            kept = {}
        known = {field.name for field in fields(cls)} - {"path"}
        return cls(path, **{name: value for name, value in kept.items() if name in known})

    def take_place(self) -> int:
        """The place of somebody who was never taken before."""
        place = self.next_place
        self.next_place += 1
        self.save()
        return place

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
