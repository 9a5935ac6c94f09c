rule train_control:
    output:
        checkpoints="results/{scale}/runs/{run_id}/checkpoints.h5",
        windows=directory("results/{scale}/runs/{run_id}/windows"),
        learning_curve="results/{scale}/runs/{run_id}/learning_curve.csv",
        evaluation="results/{scale}/runs/{run_id}/evaluation.csv",
    log:
        "results/{scale}/logs/train_control/{run_id}.log",
    benchmark:
        "results/{scale}/benchmarks/train_control/{run_id}.tsv"
    wildcard_constraints:
        run_id="[^-/]+-control-[^/]+",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(control_needs),
        runtime=run_time(control_needs),
        gpu=GPUS,
    params:
        control=control_settings,
        state="results/{scale}/state/train_control/{run_id}",
    script:
        "../scripts/train_control.py"
