from app.kit.errors import Conflict


class ScheduleExists(Conflict):
    code, title = "schedule_exists", "This workspace has a schedule of this name"


class TooManySchedules(Conflict):
    code, title = "too_many_schedules", "This workspace has as many schedules as it may have"


class ScheduleBusy(Conflict):
    code, title = "schedule_busy", "The last job of this schedule has not ended, and it allows no second one beside"


class BuiltInSchedule(Conflict):
    code, title = "built_in_schedule", "A built-in schedule can be paused and given other times, nothing else"
