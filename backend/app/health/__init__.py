"""Whether the service works: probes for machines, details for operators."""
