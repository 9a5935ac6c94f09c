rule train_run:
    input:
        replay=replay_of_run,
    output:
        checkpoints="results/{scale}/runs/{run_id}/checkpoints.h5",
        learning_curve="results/{scale}/runs/{run_id}/learning_curve.csv",
    log:
        "results/{scale}/logs/train_run/{run_id}.log",
    benchmark:
        "results/{scale}/benchmarks/train_run/{run_id}.tsv"
    wildcard_constraints:
        run_id="(?![^-/]+-control-)[^/]+",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(run_needs),
        runtime=run_time(run_needs),
        gpu=GPUS,
    params:
        run=run_identity,
        state="results/{scale}/state/train_run/{run_id}",
    script:
        "../scripts/train_run.py"
