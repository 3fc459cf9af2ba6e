"""From a commit to a listener: attachments, their places in the stream, and how each listener gets its batches."""
