"""The doors of the wallet, one file for each audience."""
