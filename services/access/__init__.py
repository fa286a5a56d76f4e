"""Who may do what: users and teams, passwords, tokens, sessions, limits on failures, quotas, the audit log."""
