"""One file per table; importing this package registers them all."""

from app.models.attachment import Attachment
from app.models.backup import Backup
from app.models.base import Base
from app.models.change import Change
from app.models.idempotency_key import IdempotencyKey
from app.models.job import Job, JobEffect
from app.models.label import Label
from app.models.login_failure import LoginFailure
from app.models.mail_suppression import MailSuppression
from app.models.outgoing_circuit import OutgoingCircuit
from app.models.paused_queue import PausedQueue
from app.models.process import Process
from app.models.project import Project, Section
from app.models.schedule import Schedule, ScheduleRun
from app.models.session import Session
from app.models.stored_file import StoredFile
from app.models.task import Comment, Task, TaskAssignee, TaskLabel, TaskReminder
from app.models.usage_statement import UsageStatement
from app.models.user import User
from app.models.workspace import Workspace, WorkspaceMember

__all__ = [
    "Attachment",
    "Backup",
    "Base",
    "Change",
    "Comment",
    "IdempotencyKey",
    "Job",
    "JobEffect",
    "Label",
    "LoginFailure",
    "MailSuppression",
    "OutgoingCircuit",
    "PausedQueue",
    "Process",
    "Project",
    "Schedule",
    "ScheduleRun",
    "Section",
    "Session",
    "StoredFile",
    "Task",
    "TaskAssignee",
    "TaskLabel",
    "TaskReminder",
    "UsageStatement",
    "User",
    "Workspace",
    "WorkspaceMember",
]
