"""Pages to look at, each one file of HTML that holds everything it shows and asks nothing of a network."""
