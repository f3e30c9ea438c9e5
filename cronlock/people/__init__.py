"""What people start; never imported on the path that cron starts."""
