"""Networks and what creates them."""
