"""Speaking to payment gateways: orders out, answers and signed events in. No database, no Flask."""
