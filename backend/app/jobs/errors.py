from app.kit.errors import Conflict, NotFound, RateLimited


class JobEnded(Conflict):
    code, title = "job_ended", "The job has ended already"


class JobNotEnded(Conflict):
    code, title = "job_not_ended", "The job has not ended yet"


class JobWithoutResult(NotFound):
    code, title = "job_without_result", "The job has no result"


class JobNotDiscarded(Conflict):
    code, title = "job_not_discarded", "Only a discarded job can be tried again"


class JobKeyTaken(Conflict):
    code, title = "job_key_taken", "Another job with the same purpose is waiting or running"


class TooManyJobs(RateLimited):
    code, title = "too_many_jobs", "As many jobs of this kind as one person may have are there"
