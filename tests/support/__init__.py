"""What several test folders share: peers, running switches."""
