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
        mem_mb=memory(replay_needs),
        runtime=run_time(replay_needs),
    params:
        replay=replay_identity,
        state="results/{scale}/state/collect_replay/{game}-seed{seed}",
    script:
        "../scripts/collect_replay.py"
