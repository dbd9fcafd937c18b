"""The sandbox gateway: its client here, its server in a process of its own with its own record."""
