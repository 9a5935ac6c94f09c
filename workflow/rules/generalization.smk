rule train_group:
    input:
        dataset=dataset_of_group,
    output:
        measurement=at(
            Result.MEASUREMENT.format(metric=plan.GENERALIZATION, run_id="{group_id}")
        ),
        parameters=(
            [at(Result.PARAMETERS.format(run_id="{group_id}"))]
            if PLAN.keeps_parameters
            else []
        ),
    log:
        at(layout.log("train_group/{group_id}")),
    benchmark:
        at(layout.benchmark("train_group/{group_id}"))
    priority: 1
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(run_needs),
        runtime=run_time(run_needs),
        gpu=GPUS,
    params:
        cells=group_cells,
        state=at(layout.state("train_group/{group_id}")),
    script:
        "../scripts/train_group.py"
