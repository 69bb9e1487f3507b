"""The label that a request changes: writable, locked, and of the version that `If-Match` names."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.identity.dependencies import CurrentCaller
from app.labels import service
from app.models import Label
from app.web.preconditions import IfMatch, require_match
from app.web.session import SessionDep, SettingsDep


async def label_to_change(
    caller: CurrentCaller, label_id: UUID, session: SessionDep, settings: SettingsDep, if_match: IfMatch = None
) -> Label:
    label = await service.lock_label(session, caller.scope, label_id)
    require_match(if_match, label.version, required=settings.require_if_match)
    return label


LabelToChange = Annotated[Label, Depends(label_to_change)]
