"""One network over the processes of an MPI run: rank r of R has the labels, and the features, i with i mod R = r."""
