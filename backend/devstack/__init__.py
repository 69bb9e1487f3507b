"""Private PostgreSQL and Valkey, and the product on them: for `./run` and the tests, never in production."""
