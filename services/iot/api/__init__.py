"""The routes of the IoT city, by audience."""
