"""What each workspace uses, counted by the hour, stated by the month."""
