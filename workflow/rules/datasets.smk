rule prepare_dataset:
    input:
        local=local_copy,
    output:
        dataset="results/{scale}/datasets/{dataset}.h5",
    log:
        "results/{scale}/logs/prepare_dataset/{dataset}.log",
    benchmark:
        "results/{scale}/benchmarks/prepare_dataset/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(dataset_needs),
        runtime=run_time(dataset_needs),
    params:
        settings=dataset_settings,
    script:
        "../scripts/prepare_dataset.py"
