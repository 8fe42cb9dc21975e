"""The front's connections to VM hosts and broker, and what is believed of them."""
