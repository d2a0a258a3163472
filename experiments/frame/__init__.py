"""What all experiments stand on: running, records, pictures, problems, training, processes. Asks no question itself."""
