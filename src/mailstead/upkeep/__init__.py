"""What the clock asks for: verification, retention, reports."""
