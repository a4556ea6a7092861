"""What things are: frozen data and pure functions. No input, no output, no clock."""
