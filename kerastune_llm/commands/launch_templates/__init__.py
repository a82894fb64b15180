"""Scripts that `kerastune launch --print` fills in."""
