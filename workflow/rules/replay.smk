rule collect_replay:
    input:
        expert=at(Result.EXPERT),
    output:
        replay=at(Result.REPLAY),
    log:
        at(layout.log("collect_replay/{game}-seed{seed}")),
    benchmark:
        at(layout.benchmark("collect_replay/{game}-seed{seed}"))
    priority: 2
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(replay_needs),
        runtime=run_time(replay_needs),
    params:
        replay=replay_identity,
        state=at(layout.state("collect_replay/{game}-seed{seed}")),
    script:
        "../scripts/collect_replay.py"
