"""All that the Snakefile imports: the plan of a configuration. Nothing heavy."""
