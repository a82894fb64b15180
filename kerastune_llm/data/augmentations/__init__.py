"""Ways to make a training row out of another, one kind a registration.

A kind is `AUGMENTATIONS.register("name")(Augmentation(form, make))`; see
`kerastune_llm.data.augmentation` for what `make` is given.
"""
