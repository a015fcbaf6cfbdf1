"""`policyhub render`: reports and constraints from files, standard input or a cluster in, findings out, without AWS."""
