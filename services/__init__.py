"""The city's counters and the IoT city."""
