"""One plain function for each verb of the command line. They return values and raise the project's errors."""
