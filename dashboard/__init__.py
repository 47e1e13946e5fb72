"""``kubectl asya dashboard``: a page for one user, served on the user's machine with the user's own rights."""
