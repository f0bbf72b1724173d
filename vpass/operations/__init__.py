"""What operators see and do, over all floors: it stands above them and only wires them together."""
