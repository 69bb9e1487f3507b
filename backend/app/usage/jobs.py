"""The handlers of `maintenance.refresh_stats` and `billing.usage`."""

from app.kit.clock import utc_now
from app.usage import repository
from app.usage.job_args import BillingArgs, RefreshStatsArgs
from app.worker import RunningJob, handler


@handler(RefreshStatsArgs)
async def refresh_stats(job: RunningJob, _: RefreshStatsArgs) -> dict[str, int]:
    async with job.transaction() as session:
        return {"statements": await repository.count(session, utc_now())}


@handler(BillingArgs)
async def close_statements(job: RunningJob, _: BillingArgs) -> dict[str, int]:
    async with job.transaction() as session:
        await repository.count(session, utc_now())
        return {"closed": await repository.close(session)}
