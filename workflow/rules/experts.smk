rule train_expert:
    output:
        weights="results/{scale}/experts/{game}/expert.safetensors",
        learning_curve="results/{scale}/experts/{game}/learning_curve.csv",
        evaluation="results/{scale}/experts/{game}/evaluation.csv",
        picture_pdf=report(
            "results/{scale}/experts/{game}/expert.pdf",
            caption="../report/expert.rst",
            category="Experts",
        ),
        picture_png="results/{scale}/experts/{game}/expert.png",
    log:
        "results/{scale}/logs/train_expert/{game}.log",
    benchmark:
        "results/{scale}/benchmarks/train_expert/{game}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(expert_needs),
        runtime=run_time(expert_needs),
        gpu=GPUS,
    params:
        expert=expert_settings,
        state="results/{scale}/state/train_expert/{game}",
    script:
        "../scripts/train_expert.py"
