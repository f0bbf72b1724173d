"""The citizen's day: people, clerks and machines use the program as they would, over HTTP alone."""
