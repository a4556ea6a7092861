"""Where the API tells of notifications, and whom it tells."""

RULES = "/api/v2/notification-rules"
INBOX = "/api/v2/notifications"
INCIDENTS = "/api/v2/incidents"
DELIVERIES = "/api/v2/notification-deliveries"
PREFERENCES = "/api/v2/notification-preferences"
THRESHOLDS = "/api/v2/alert-thresholds"
ANA = "ana@example.com"
