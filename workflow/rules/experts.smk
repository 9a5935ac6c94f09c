rule train_expert:
    output:
        weights=at(Result.EXPERT),
        learning_curve=at(Result.EXPERT_CURVE),
        evaluation=at(Result.EXPERT_EVALUATION),
        picture_pdf=report(
            at(Result.EXPERT_PDF),
            caption="../report/expert.rst",
            category="Experts",
        ),
        picture_png=at(Result.EXPERT_PNG),
    log:
        at(layout.log("train_expert/{game}")),
    benchmark:
        at(layout.benchmark("train_expert/{game}"))
    # What most waits for begins first, so that no long job is left alone at the end.
    priority: 3
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(expert_needs),
        runtime=run_time(expert_needs),
        gpu=GPUS,
    params:
        expert=expert_settings,
        state=at(layout.state("train_expert/{game}")),
    script:
        "../scripts/train_expert.py"
