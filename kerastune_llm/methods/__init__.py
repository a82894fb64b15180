"""Methods: which weights train, and what is added to them. One contract for all."""
