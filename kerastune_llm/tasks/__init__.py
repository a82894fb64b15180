"""Tasks: what goes in, what comes out, how it is scored. No TensorFlow here."""
