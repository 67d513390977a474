"""What the Helm chart renders, for tests without helm."""
