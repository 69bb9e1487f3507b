"""HTTP plumbing without a product."""
