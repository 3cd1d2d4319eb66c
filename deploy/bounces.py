"""Mails of the reply address, from a file: one mail, or a mailbox as mail programs keep them."""

from __future__ import annotations

from collections.abc import Sequence
from mailbox import mbox
from pathlib import Path

from deploy.unprivileged import SetupError

LONGEST = 200_000
"""Characters of a report: the part that says what happened comes before the mail that it returns."""


def reports_in(file: Path) -> Sequence[str]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SetupError(f"{file}: {error.strerror}") from error
    if not content.startswith(b"From "):
        return [content.decode("utf-8", "replace")[:LONGEST]]
    box = mbox(file, create=False)
    try:
        return [message.as_bytes().decode("utf-8", "replace")[:LONGEST] for message in box]
    finally:
        box.close()
