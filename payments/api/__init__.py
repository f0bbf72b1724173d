"""The routes of Cloud Pay, by audience."""
