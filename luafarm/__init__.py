"""What every luafarm process shares: names, messages, settings, errors, CLI."""
