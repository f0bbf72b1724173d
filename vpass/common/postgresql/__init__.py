"""The database engine of `settings.DATABASES`: Django's own, with a cheaper look at its health."""
