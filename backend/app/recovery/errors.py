"""What goes wrong with backups: told to an operator at a terminal, or in a job's errors."""


class BackupError(Exception):
    """Nothing half-made counts; the message says what to change."""
