rule compute_table:
    input:
        measurements=table_measurements,
    output:
        parquet=at(Result.TABLE),
        csv=at(Result.TABLE_CSV),
    log:
        at(layout.log("compute_table/{table}")),
    benchmark:
        at(layout.benchmark("compute_table/{table}"))
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
        expand(at(Result.TABLE_CSV), table=TABLE_NAMES),
