"""``kubectl asya dashboard``: a page for one person, served on this machine with that person's own rights."""
