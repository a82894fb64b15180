"""Text rows to tokenised columns to `tf.data` batches."""
