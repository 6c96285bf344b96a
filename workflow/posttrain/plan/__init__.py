"""What is to be built and why: made once by the main process, read by every job. Imports no torch."""
