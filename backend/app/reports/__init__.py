"""Reports: what came and what was done, what is late, who has how much, in figures and charts."""
