"""What the package runs on: threads, forks, memory, what was built and what it can do at best."""
