"""A whole request from a long conversation, against the time of counting alone and against other libraries."""
