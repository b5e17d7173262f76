"""How long one kernel takes on one device: light-speed time over an efficiency learned from measurements."""
