"""All SQL of stored files beyond their rows' own."""

from __future__ import annotations

from sqlalchemy import text

from app.infra.statements import Statement

SHELF = Statement(
    text("SELECT id, storage_key, created_at FROM stored_files WHERE storage_key >= :first AND storage_key < :last")
)
