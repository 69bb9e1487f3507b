"""Ordering a report, and making its figures."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from app.jobs.service import take_quota
from app.kit.clock import utc_now
from app.kit.errors import InvalidReference
from app.reports import repository
from app.reports.errors import PeriodInvalid
from app.reports.figures import LATEST, SHARES, Figures, Overdue, Share, Totals, filled, unit_of
from app.reports.job_args import ReportArgs
from app.reports.schemas import DAYS_MAX
from app.worker import enqueue

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from app.access.scope import Scope
    from app.models import Job
    from app.reports.schemas import ReportIn, Wanted

STATEMENT_SECONDS = 60.0
"""A statement over a workspace of a million tasks takes a few."""


async def order(session: AsyncSession, scope: Scope, user_id: UUID, wanted: ReportIn, limit: int) -> Job:
    """Enqueues the report. Raises InvalidReference for what does not exist or is not in the workspace, PeriodInvalid,
    TooManyJobs.
    """
    workspace_id = scope.target(wanted.workspace_id, "viewer")
    zone = wanted.time_zone or await repository.zone_of(session, user_id)
    since, until = period(wanted, utc_now().astimezone(ZoneInfo(zone)).date())
    args = ReportArgs(
        **wanted.model_dump(exclude={"workspace_id"}) | {"since": since, "until": until, "time_zone": zone}
    )
    _refuse_unknown(await repository.names(session, _chosen(workspace_id, args)), args)
    await take_quota(session, user_id, ReportArgs, limit)
    return await enqueue(session, args, workspace_id=workspace_id, created_by=user_id)


def period(wanted: Wanted, today: date) -> tuple[date, date]:
    """The first and the last day. Raises PeriodInvalid."""
    until = wanted.until or today
    since = wanted.since or until - timedelta(days=wanted.days - 1)
    if since > until:
        raise PeriodInvalid("The period begins after its end")
    if (until - since).days >= DAYS_MAX:
        raise PeriodInvalid(f"A report covers at most {DAYS_MAX} days")
    return since, until


def _chosen(workspace_id: UUID, wanted: Wanted) -> dict[str, Any]:
    """The parameters that say which tasks count."""
    filters = {name: getattr(wanted, name) for name in ("project_ids", "label_ids", "assignee_ids")}
    return {"workspace_id": workspace_id, **filters}


def _refuse_unknown(names: Any, wanted: Wanted) -> None:
    asked = (("project_ids", "projects"), ("label_ids", "labels"), ("assignee_ids", "people"))
    missing = [f"/{field}" for field, found in asked if len(set(getattr(wanted, field))) > len(names[found])]
    if missing:
        raise InvalidReference(*missing)


async def figures(
    connection: AsyncConnection, workspace_id: UUID, wanted: Wanted, zone: str, since: date, until: date
) -> Figures:
    """All numbers of a report; the connection's transaction should be a snapshot."""
    filters = _chosen(workspace_id, wanted)
    names = await repository.names(connection, filters)
    params = {**filters, "zone": zone, "since": since, "until": until}
    totals = (await repository.rows(connection, repository.TOTALS, params))[0]
    counts = await repository.rows(connection, repository.THROUGHPUT, {**params, "unit": unit_of(since, until)})
    overdue = await repository.rows(connection, repository.OVERDUE, {**params, "latest": LATEST})
    return Figures(
        workspace=names["workspace"],
        since=since,
        until=until,
        zone=zone,
        made_at=names["now"].astimezone(ZoneInfo(zone)),
        filters=_filters(names),
        totals=Totals(**{name: value for name, value in totals.items() if name not in {"ages", "lateness"}}),
        throughput=filled(since, until, {row["day"]: (row["created"], row["done"]) for row in counts}),
        ages=totals["ages"],
        lateness=totals["lateness"],
        people=_shares(await repository.rows(connection, repository.PEOPLE, {**params, "shares": SHARES}), "Nobody"),
        labels=_shares(await repository.rows(connection, repository.LABELS, {**params, "shares": SHARES}), "No label"),
        overdue=[Overdue(**row) for row in overdue],
    )


def _filters(names: Any) -> list[tuple[str, str]]:
    asked = (("Project", "projects"), ("Label", "labels"), ("Person", "people"))
    return [(word, ", ".join(names[found])) for word, found in asked if names[found]]


def _shares(found: Sequence[Any], nobody: str) -> list[Share]:
    shares = []
    for row in found:
        name = nobody if row["none"] else row["name"] if row["names"] == 1 else f"{row['names']} others"
        shares.append(Share(name, row["done"], row["open"], row["overdue"]))
    return shares
