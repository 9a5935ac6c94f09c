rule prepare_dataset:
    input:
        local=local_copy,
    output:
        dataset=at(Result.DATASET),
    log:
        at(layout.log("prepare_dataset/{dataset}")),
    benchmark:
        at(layout.benchmark("prepare_dataset/{dataset}"))
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
