"""What things cost, beside what they would cost at least: `make bench`. Nothing here is a test, and no test is timed."""
