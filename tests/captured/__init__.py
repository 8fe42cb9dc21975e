"""VM hosts that were taken over: what they try, and what it costs others."""
