"""Jobs as their owners see them: how far, how it ended, cancel, retry."""
