"""A refusal is an answer; a bug is an alert. Only refusals have codes for programs and words for people."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Problem(BaseModel):
    """RFC 9457 problem details, as requests and HTTP answer them. Members beyond these are allowed and kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    code: str
    """Stable, snake_case, for programs."""
    title: str
    """One sentence in French, for people."""
    status: int
    """HTTP status."""
    detail: str = ""
    retryable: bool = False
    retry_after: int | None = None
    """Seconds to wait before another try."""


class Refused(Exception):
    """A rule says no. Subclass it once per rule, with its `code`, `status` and French `title`.

    `detail` is for whoever reads the log; keyword members travel in the problem document (ids and dates only, never names).
    """

    code: str = "refused"
    status: int = 409
    title: str = "Demande refusée."
    retryable: bool = False
    retry_after: int | None = None

    def __init__(self, detail: str = "", **members: Any) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        self.members = members

    @property
    def problem(self) -> Problem:
        return Problem(
            code=self.code,
            title=self.title,
            status=self.status,
            detail=self.detail,
            retryable=self.retryable,
            retry_after=self.retry_after,
            **self.members,
        )

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """The refusal that another service answered."""
        refusal = cls(problem.detail, **(problem.model_extra or {}))
        refusal.code, refusal.status, refusal.title = problem.code, problem.status, problem.title
        refusal.retryable, refusal.retry_after = problem.retryable, problem.retry_after
        return refusal


class InvalidRequest(Refused):
    code, status = "invalid_request", 422
    title = "La demande est mal formée."


class NotAllowed(Refused):
    code, status = "not_allowed", 403
    title = "Vous n'avez pas le droit de faire cela."


class VersionConflict(Refused):
    code, status = "version_conflict", 412
    title = "Cet élément a changé entre-temps : rechargez la page."


class KeyInUse(Refused):
    code, status, retryable, retry_after = "idempotency_key_in_use", 409, True, 1
    title = "La même demande est déjà en cours de traitement."


class KeyReused(Refused):
    code, status = "idempotency_key_reused", 422
    title = "Cette clé d'idempotence a déjà servi pour une autre demande."


class Busy(Refused):
    code, status, retryable, retry_after = "busy", 503, True, 1
    title = "Le service est très sollicité : réessayez dans un instant."


class Contended(Refused):
    """The lock of a session (or another aggregate) could not be had within 3 s (B1)."""

    code, status, retryable, retry_after = "contended", 409, True, 1
    title = "Beaucoup de demandes arrivent en même temps : réessayez dans un instant."


class Unavailable(Refused):
    code, status, retryable, retry_after = "unavailable", 503, True, 5
    title = "Le service est momentanément indisponible : réessayez dans un instant."


class DeadlineExceeded(Refused):
    """Nobody knows whether it was done: ask again with the same idempotency key."""

    code, status, retryable, retry_after = "deadline_exceeded", 504, True, 1
    title = "Le service n'a pas répondu à temps : réessayez, rien ne sera fait deux fois."


class InternalError(Refused):
    code, status = "internal_error", 500
    title = "Une erreur inattendue s'est produite. Elle a été signalée à l'équipe technique."
