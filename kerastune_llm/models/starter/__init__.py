"""The bundled starter: a small T5 pretrained on text the project generates."""
