rule measure_random_networks:
    output:
        measurement="results/{scale}/metrics/random_networks/{study_id}.h5",
    log:
        "results/{scale}/logs/measure_random_networks/{study_id}.log",
    benchmark:
        "results/{scale}/benchmarks/measure_random_networks/{study_id}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(study_needs),
        runtime=run_time(study_needs),
    params:
        study=study_settings,
        code=study_code,
        state="results/{scale}/state/measure_random_networks/{study_id}",
    script:
        "../scripts/measure_random_networks.py"
