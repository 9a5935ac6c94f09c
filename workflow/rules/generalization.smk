rule train_group:
    input:
        dataset=dataset_of_group,
    output:
        measurement="results/{scale}/metrics/generalization/{group_id}.h5",
        parameters=(
            ["results/{scale}/parameters/{group_id}.h5"]
            if PLAN.keeps_parameters
            else []
        ),
    log:
        "results/{scale}/logs/train_group/{group_id}.log",
    benchmark:
        "results/{scale}/benchmarks/train_group/{group_id}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(group_needs),
        runtime=run_time(group_needs),
        gpu=GPUS,
    params:
        cells=group_cells,
        state="results/{scale}/state/train_group/{group_id}",
    script:
        "../scripts/train_group.py"
