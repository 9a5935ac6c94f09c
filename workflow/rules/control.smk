rule train_control:
    output:
        checkpoints=at(Result.CHECKPOINTS),
        windows=directory(at(Result.WINDOWS)),
        learning_curve=at(Result.LEARNING_CURVE),
        evaluation=at(Result.EVALUATION),
    log:
        at(layout.log("train_control/{run_id}")),
    benchmark:
        at(layout.benchmark("train_control/{run_id}"))
    wildcard_constraints:
        run_id="[^-/]+-control-[^/]+",
    priority: 1
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(run_needs),
        runtime=run_time(run_needs),
        gpu=GPUS,
    params:
        control=run_settings,
        state=at(layout.state("train_control/{run_id}")),
    script:
        "../scripts/train_control.py"
