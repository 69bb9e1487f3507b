"""What one caller may see and do, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.kit.errors import InvalidReference, NotFound, PermissionDenied
from app.models.workspace import ROLES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID


class RoleTooLow(PermissionDenied):
    code = "role_too_low"


@dataclass(frozen=True, slots=True)
class Scope:
    """The workspaces of one caller with the role in each, and the personal one among them."""

    roles: Mapping[UUID, str]
    personal: UUID | None = None

    @property
    def workspace_ids(self) -> list[UUID]:
        return list(self.roles)

    def writable(self, role: str = "member") -> list[UUID]:
        """The workspaces in which the caller has at least this role."""
        return [workspace for workspace, mine in self.roles.items() if ROLES.index(mine) >= ROLES.index(role)]

    def among(self, wanted: Collection[UUID]) -> list[UUID]:
        """Those of the caller's workspaces that are wanted; all of them where none is named."""
        return [workspace for workspace in self.roles if not wanted or workspace in wanted]

    def target(self, wanted: UUID | None, role: str = "member") -> UUID:
        """The workspace that a body names, else the personal one. Raises InvalidReference, RoleTooLow."""
        workspace_id = wanted or self.personal
        if workspace_id is None or workspace_id not in self.roles:
            raise InvalidReference("/workspace_id")
        self.require(workspace_id, role)
        return workspace_id

    def require(self, workspace_id: UUID, role: str = "member") -> None:
        """Raises NotFound for a workspace that is not the caller's, RoleTooLow when its role does not reach."""
        mine = self.roles.get(workspace_id)
        if mine is None:
            raise NotFound
        if ROLES.index(mine) < ROLES.index(role):
            raise RoleTooLow(f"This takes the role {role} in the workspace; yours is {mine}")
