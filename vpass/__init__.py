"""V Pass: the wiring on top of the five floors."""
