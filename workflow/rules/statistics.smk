rule compute_table:
    input:
        measurements=table_measurements,
    output:
        parquet="results/{scale}/tables/{table}.parquet",
        csv="results/{scale}/tables/{table}.csv",
    log:
        "results/{scale}/logs/compute_table/{table}.log",
    benchmark:
        "results/{scale}/benchmarks/compute_table/{table}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(table_needs),
        runtime=run_time(table_needs),
    params:
        runs=table_runs,
        statistics=table_statistics,
        on_divergence=PLAN.config["training"]["on_divergence"],
        code=table_code,
    script:
        "../scripts/compute_table.py"


rule all_tables:
    input:
        expand(
            "results/{scale}/tables/{table}.csv", scale=PLAN.scale, table=TABLE_NAMES
        ),
