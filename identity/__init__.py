"""People, devices, codes, organisations and disclosure: the Zhiji platform."""
