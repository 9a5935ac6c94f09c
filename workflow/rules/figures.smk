rule make_figure:
    input:
        tables=figure_tables,
    output:
        pdf=report(
            "results/{scale}/figures/{figure}.pdf",
            caption="../report/figure.rst",
            category="Figures",
        ),
        png="results/{scale}/figures/{figure}.png",
        csv="results/{scale}/figures/{figure}.csv",
    log:
        "results/{scale}/logs/make_figure/{figure}.log",
    benchmark:
        "results/{scale}/benchmarks/make_figure/{figure}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(figure_needs),
        runtime=run_time(figure_needs),
    params:
        tables=figure_table_identities,
        caption=figure_caption,
        words=figure_words,
        code=figure_code,
        confidence=figure_confidence,
    script:
        "../scripts/make_figure.py"


# A user asks for results/fig5.pdf; it is the figure of the scale the configuration names. `missing` is
# what the figure came from and was deleted: Snakemake by itself would not mind a deleted intermediate
# of an existing figure. (What is recorded is what was missing and when, so the first call after such a
# repair copies the three files once more.)
rule publish:
    input:
        pdf=expand("results/{scale}/figures/{{figure}}.pdf", scale=PLAN.scale),
        png=expand("results/{scale}/figures/{{figure}}.png", scale=PLAN.scale),
        csv=expand("results/{scale}/figures/{{figure}}.csv", scale=PLAN.scale),
        missing=missing_intermediates,
    output:
        pdf="results/{figure}.pdf",
        png="results/{figure}.png",
        csv="results/{figure}.csv",
    log:
        expand("results/{scale}/logs/publish/{{figure}}.log", scale=PLAN.scale),
    localrule: True
    conda:
        "../../environment.yml"
    threads: 1
    params:
        scale=PLAN.scale,
        missing=what_is_missing,
    shell:
        "(cp {input.pdf} {output.pdf} && cp {input.png} {output.png}"
        " && cp {input.csv} {output.csv}) 2> {log}"


rule atari:
    input:
        expand("results/{figure}.pdf", figure=ATARI_FIGURES),


rule generalization:
    input:
        expand("results/{figure}.pdf", figure=GENERALIZATION_FIGURES),
