rule train_run:
    input:
        replay=play_of_run,
    output:
        checkpoints=at(Result.CHECKPOINTS),
        learning_curve=at(Result.LEARNING_CURVE),
    log:
        at(layout.log("train_run/{run_id}")),
    benchmark:
        at(layout.benchmark("train_run/{run_id}"))
    wildcard_constraints:
        run_id="(?![^-/]+-control-)[^/]+",
    priority: 1
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(run_needs),
        runtime=run_time(run_needs),
        gpu=GPUS,
    params:
        run=run_identity,
        state=at(layout.state("train_run/{run_id}")),
    script:
        "../scripts/train_run.py"
