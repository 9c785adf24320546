"""The built-in mechanism drivers."""
