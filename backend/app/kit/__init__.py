"""Pure helpers without a product: they import nothing of ours."""
