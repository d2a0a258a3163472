"""What goes wrong outside: bad input, interruptions, crafted files, threads, processes."""
