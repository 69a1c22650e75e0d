"""What strategy code uses: readers of ticks, and forms to take them in. Floor 3."""
