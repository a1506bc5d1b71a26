"""Workers: claim runs, train them, write everything back; and plan the next step when there is nothing to train."""
