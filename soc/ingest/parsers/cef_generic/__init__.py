"""Common Event Format (CEF) of any sender, through the ArcSight dictionary."""
