rule measure_run:
    input:
        play=play_of_run,
        checkpoints=at(Result.CHECKPOINTS),
    output:
        measurement=at(Result.MEASUREMENT),
    log:
        at(layout.log("measure_run/{metric}/{run_id}")),
    benchmark:
        at(layout.benchmark("measure_run/{metric}/{run_id}"))
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(measurement_needs),
        runtime=run_time(measurement_needs),
        gpu=GPUS,
    params:
        measured=measured_identity,
        state=at(layout.state("measure_run/{metric}/{run_id}")),
    script:
        "../scripts/measure_run.py"
