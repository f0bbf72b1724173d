"""The IoT city: what the city's sensors say, and what follows from it."""
