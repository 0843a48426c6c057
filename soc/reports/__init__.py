"""Documents about incidents: statutory and inner reports, the situation report, and the handbook for the day the host is down."""
