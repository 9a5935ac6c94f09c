rule measure_run:
    input:
        play=play_to_measure_on,
        checkpoints="results/{scale}/runs/{run_id}/checkpoints.h5",
    output:
        measurement="results/{scale}/metrics/{metric}/{run_id}.h5",
    log:
        "results/{scale}/logs/measure_run/{metric}/{run_id}.log",
    benchmark:
        "results/{scale}/benchmarks/measure_run/{metric}/{run_id}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(measurement_needs),
        runtime=run_time(measurement_needs),
        gpu=GPUS,
    params:
        measured=measured_identity,
        state="results/{scale}/state/measure_run/{metric}/{run_id}",
    script:
        "../scripts/measure_run.py"
