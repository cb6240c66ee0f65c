"""What every room's views use: the house, guards, headers, CSRF, htmx, live streams."""
