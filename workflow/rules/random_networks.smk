rule measure_random_networks:
    output:
        measurement=at(
            Result.MEASUREMENT.format(metric=plan.RANDOM_NETWORKS, run_id="{study_id}")
        ),
    log:
        at(layout.log("measure_random_networks/{study_id}")),
    benchmark:
        at(layout.benchmark("measure_random_networks/{study_id}"))
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(run_needs),
        runtime=run_time(run_needs),
    params:
        study=run_settings,
        code=study_code,
        state=at(layout.state("measure_random_networks/{study_id}")),
    script:
        "../scripts/measure_random_networks.py"
