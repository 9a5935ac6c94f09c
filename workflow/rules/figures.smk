rule make_figure:
    input:
        tables=figure_tables,
    output:
        pdf=report(
            at(Result.FIGURE_PDF),
            caption="../report/figure.rst",
            category="Figures",
        ),
        png=at(Result.FIGURE_PNG),
        csv=at(Result.FIGURE_CSV),
    log:
        at(layout.log("make_figure/{figure}")),
    benchmark:
        at(layout.benchmark("make_figure/{figure}"))
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
        pdf=at(Result.FIGURE_PDF),
        png=at(Result.FIGURE_PNG),
        csv=at(Result.FIGURE_CSV),
        missing=missing_intermediates,
    output:
        pdf=layout.published("pdf"),
        png=layout.published("png"),
        csv=layout.published("csv"),
    log:
        at(layout.log("publish/{figure}")),
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
        expand(layout.published("pdf"), figure=ATARI_FIGURES),


rule generalization:
    input:
        expand(layout.published("pdf"), figure=GENERALIZATION_FIGURES),
