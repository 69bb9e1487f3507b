"""Who is calling, with which scopes: passwords, tokens, sessions. No routes."""
