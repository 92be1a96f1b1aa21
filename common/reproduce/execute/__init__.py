"""What makes runs, and what they leave: directories, and rows of results.csv."""
