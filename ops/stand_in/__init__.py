"""A stand-in server: social platforms on loopback, faithful in shapes and limits, with faults on demand."""
