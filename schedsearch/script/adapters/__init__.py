"""Scripts of other frameworks: one thin module each, which imports its framework; alone a script trains as before."""
