"""What a study leaves for people: the report, the terminal verdict, and the winner as code."""
