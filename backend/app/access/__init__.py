"""Memberships: who may see and do what. Every listing takes its scope from here."""
