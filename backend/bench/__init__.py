"""The benchmark: the api as shipped beside its own floor, ratios only (`./run bench`)."""
