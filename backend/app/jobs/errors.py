from app.kit.errors import Conflict


class JobEnded(Conflict):
    code, title = "job_ended", "The job has ended already"


class JobNotDiscarded(Conflict):
    code, title = "job_not_discarded", "Only a discarded job can be tried again"


class JobKeyTaken(Conflict):
    code, title = "job_key_taken", "Another job with the same purpose is waiting or running"
