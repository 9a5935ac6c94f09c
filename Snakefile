from snakemake.utils import min_version

min_version("9.0")


# First what all rules share, then a file for each stage, in the order of the data.
include: "workflow/rules/configuration.smk"
include: "workflow/rules/scheduling.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/machine.smk"
include: "workflow/rules/inputs_of_runs.smk"
include: "workflow/rules/inputs_of_figures.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/experts.smk"
include: "workflow/rules/replay.smk"
include: "workflow/rules/datasets.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/control.smk"
include: "workflow/rules/generalization.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/random_networks.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        expand(layout.published("pdf"), figure=FIGURE_NAMES),


include: "workflow/rules/targets.smk"
