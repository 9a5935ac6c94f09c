# The configuration: config.yaml of the working directory, or else of the project, with what was given
# on the command line over it. The files are looked at before Snakemake's own reading of config.yaml:
# of two equal keys it would take the last without a word, and it unfolds aliases until memory is full.

import sys

from snakemake.exceptions import WorkflowError

from td_interference.planning import yaml_files
from td_interference.errors import UserError

try:
    if workflow.is_main_process and "snakemake" in sys.argv[0]:
        yaml_files.check_call(sys.argv[1:])
    CONFIG_FILE = yaml_files.main_file(workflow.basedir)
    yaml_files.check_configuration(
        [CONFIG_FILE, *workflow.config_settings.configfiles],
        workflow.config_settings.config_args or (),
    )
except UserError as error:
    raise WorkflowError(str(error)) from None


configfile: CONFIG_FILE
