rule collect_replay:
    input:
        expert="results/{scale}/experts/{game}/expert.safetensors",
    output:
        replay="results/{scale}/replay/{game}-seed{seed}.h5",
    log:
        "results/{scale}/logs/collect_replay/{game}-seed{seed}.log",
    benchmark:
        "results/{scale}/benchmarks/collect_replay/{game}-seed{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        replay=replay_settings,
        state="results/{scale}/state/collect_replay/{game}-seed{seed}",
    script:
        "../scripts/collect_replay.py"
