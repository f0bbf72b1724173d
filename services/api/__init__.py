"""The routes of the city's counters, by audience."""
