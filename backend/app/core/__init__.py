"""The roof: builds the processes."""
