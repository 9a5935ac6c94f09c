"""All that the Snakefile imports at every dry run: the plan of a configuration. Nothing heavy."""
