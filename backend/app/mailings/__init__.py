"""One message to many people, at an operator's word."""
