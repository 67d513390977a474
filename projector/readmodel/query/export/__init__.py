"""All groups that match a query: chosen from one snapshot, then read some hundred at a time, each as it is then."""
