"""FortiGate (FortiOS 4.3 to 7.6): key=value, CSV and CEF log lines."""
