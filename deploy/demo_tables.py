"""A folder of TOML files, read entry by entry: a wrong one is refused by file, name and field, and its neighbours are kept."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from deploy.demo_entries import Entry

DATA_FILE_INVALID = "data_file_invalid"

EntryT = TypeVar("EntryT", bound=Entry)
PlanT = TypeVar("PlanT")


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry that is not in the demonstration, and why."""

    entry: str
    """File and name."""
    code: str
    detail: str
    field: str = ""

    def __str__(self) -> str:
        return f"{self.entry}{', field ' + self.field if self.field else ''}: {self.code}: {self.detail}"


class WrongField(ValueError):
    """A field that is well written and makes no sense beside the others."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


class Tables:
    """The files, what is wrong in them, and which names other entries may refer to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, set[str]] = {}
        self.refused: list[RefusedEntry] = []

    def read(self, name: str, **keys: str) -> dict[str, Any]:
        """The tables of a file, absent ones empty; `hosts="slug"` says that the table `hosts` has names, in `slug`.

        A file that cannot be read, and a table that nobody knows, are told.
        """
        document: dict[str, Any] = {}
        try:
            document = tomllib.loads((self._folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # a missing file; wrong TOML, with its line; bytes that are no text
            self.refuse(name, str(error))
        for table in sorted(document.keys() - keys.keys()):
            self.refuse(f"{name}: {table}", f"unknown table; this file has {', '.join(keys)}", table)
        for table, key in keys.items():
            self._names[table] = {str(said.get(key)) for said in dictionaries(document.get(table))}
        return {table: document.get(table, []) for table in keys}

    def each(
        self, where: str, said: object, model: type[EntryT], plan: Callable[[str, EntryT], PlanT], *, key: str = "slug"
    ) -> list[PlanT]:
        """What each entry of a table asks for, without those that are wrong. `plan` gets the entry's name, for its own entries."""
        entries = dictionaries(said)
        if not isinstance(said, list) or len(entries) != len(cast("list[object]", said)):
            self.refuse(where, "a table holds entries, written [[…]]")
        plans: list[PlanT] = []
        seen: set[str] = set()
        for place, one in enumerate(entries, start=1):
            name = str(one.get(key, f"number {place}"))
            try:
                entry = model.model_validate(one)
                if name in seen:
                    raise WrongField(key, "another entry has this name")
                seen.add(name)
                plans.append(plan(f"{where} {name}", entry))
            except ValidationError as error:
                faults = error.errors(include_url=False, include_context=False, include_input=False)
                fields = dict.fromkeys(".".join(map(str, fault["loc"])) for fault in faults)
                self.refuse(f"{where} {name}", "; ".join(dict.fromkeys(fault["msg"] for fault in faults)), ", ".join(fields))
            except WrongField as error:
                self.refuse(f"{where} {name}", str(error), error.name)
        return plans

    def must_exist(self, table: str, field: str, wanted: str) -> None:
        """Whether the entry named is itself well written is another matter: catalog says when it does not have it."""
        if wanted not in self._names[table]:
            raise WrongField(field, f"no {wanted} among the {table}")

    def refuse(self, entry: str, detail: str, field: str = "") -> None:
        self.refused.append(RefusedEntry(entry, DATA_FILE_INVALID, detail, field))


def dictionaries(said: object) -> list[dict[str, Any]]:
    entries = cast("list[object]", said) if isinstance(said, list) else []
    return [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]
