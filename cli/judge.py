"""`simmatrix judge`: what a trained model's predictions are worth, and what other decisions would make of them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from simmatrix.cli.options import AsJson, ClassColumn, MatrixPath, Separator, known_list, read_list
from simmatrix.cli.output import percent, print_line, print_pairs, print_table, warn

if TYPE_CHECKING:
    from simmatrix.class_taxonomy import ClassTaxonomy
    from simmatrix.classes import ClassList
    from simmatrix.matrix import SimilarityMatrix
    from simmatrix.predictions import Predictions

CONFIDENCES = (0.5, 0.75, 0.9)
_PICTURES = (".png", ".svg", ".pdf")
_PAIRS = 10
# What is shown of each decision: the column, and the value of `simloss.metrics.judge`.
_COLUMNS = {
    "accuracy": "accuracy",
    "severity": "severity",
    "HD@1": "hierarchical_distance_1",
    "HD@5": "hierarchical_distance_5",
    "superclass": "superclass_accuracy",
    "hier. F1": "hierarchical_f1",
    "node right": "node_accuracy",
    "depth": "node_depth",
    "bits": "node_information",
}


def judge(
    file: MatrixPath,
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS",
            help="Predictions: .csv, .tsv or .parquet with a column for each class and a column label of names, or of "
            "numbers from 0 on; or .npz with the arrays logits or probabilities, labels (the same), and classes: the "
            "names in the order of the columns.",
        ),
    ],
    kind: Annotated[
        Literal["logits", "probabilities"] | None,
        typer.Option(help="What the scores are; told by their name or values if not given."),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="PREDICTIONS",
            help="Predictions for other examples, on which the temperature is fitted; without them there is none.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|NAME",
            help="Class list with columns that group the classes, as superclass or level_1; the bundled one the "
            "matrix was built for if not given.",
        ),
    ] = None,
    class_column: ClassColumn = None,
    separator: Separator = None,
    taxonomy: Annotated[
        str | None,
        typer.Option(
            metavar="wordnet|PATH|COLUMN,…",
            help="What to back off to: WordNet, a file of edges, an outline or JSON, or columns of the class list; the "
            "columns that group the classes if not given.",
        ),
    ] = None,
    confidence: Annotated[
        list[float] | None,
        typer.Option(metavar="P", help="How sure a back-off has to be, in (0, 1]; may be given several times."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write everything as JSON to a file.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw a reliability diagram, and the curve of back-off (.png, .svg, .pdf)."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Judge predictions by a matrix: how severe mistakes are, and what other decisions would make of them."""
    import simmatrix
    from simmatrix.predictions import read_predictions

    for one in confidence or ():
        if not 0 < one <= 1:
            raise simmatrix.ParameterError(f"confidence must be above 0 and at most 1, got {one}")
    _check_outputs(output, picture)
    given = read_list(classes, class_column, separator)
    matrix = simmatrix.load(file)
    read = read_predictions(predictions, matrix.classes, kind)
    files = {predictions: read}
    if validation is not None:
        files[validation] = read_predictions(validation, read.classes, kind)
    warn(_unnamed(files))
    matrix = matrix.reorder(read.classes)
    superclasses, tree = _groups(matrix, given, taxonomy)
    warn(one.doubt for one in files.values() if one.doubt)
    temperature = None if validation is None else _temperature(files[validation], validation)
    content = _judged(matrix, read, temperature, superclasses, tree, confidence or CONFIDENCES)
    bound = _lower_bound(matrix)
    content = {"matrix": str(file), "predictions": str(predictions), "lower_bound": bound, **content}
    drawn = content.pop("drawn")
    if picture is not None:
        _draw(drawn, picture)
    text = _as_json(content) if json or output is not None else ""
    if output is not None:
        from simmatrix.files import write_atomically

        write_atomically(output, [text.encode()])
    if json:
        typer.echo(text)
        return
    _print(content)
    if bound > 0:
        warn(
            [
                f"{file} has a lower bound of {bound:.3g}: classes that were less alike than that count as equally far "
                "apart (1 - S = 1); to measure, judge by a matrix built with --lower-bound 0"
            ]
        )
    if tree is None:
        warn(["no taxonomy is known, so nothing backs off; give one (--taxonomy), or a class list with superclasses"])


def _unnamed(files: Mapping[Path, Predictions]) -> Iterator[str]:
    """Say which files do not name their columns: in another order all figures would be wrong, and nothing shows it."""
    from simmatrix.text import a_few

    path, first = next(iter(files.items()))
    unnamed = [str(path) for path, read in files.items() if not read.are_named]
    if unnamed:
        has, its = ("has", "its") if len(unnamed) == 1 else ("have", "their")
        yield (
            f"{' and '.join(unnamed)} {has} no array classes, so {its} columns are taken in the order of "
            f"{path if first.are_named else 'the matrix'}: {a_few(first.classes)}; if the model has another order, "
            "save the names in the model's order too: numpy.savez(..., classes=names)"
        )


def _check_outputs(output: Path | None, picture: Path | None) -> None:
    from simmatrix.errors import OutputError
    from simmatrix.files import check_output_folder

    for path, suffixes in ((output, (".json",)), (picture, _PICTURES)):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise OutputError(f"what is written ends in {', '.join(suffixes)}; give it such a name", path)
        check_output_folder(path)


def _lower_bound(matrix: SimilarityMatrix) -> float:
    """Return the lower bound of a matrix: several compose to one, 0 is none."""
    import math

    steps = [step for step in matrix.provenance.normalisation if step.get("step") == "lower_bound"]
    # A foreign file may have anything there.
    bounds = [float(step["bound"]) for step in steps if isinstance(step.get("bound"), int | float)]
    return 1.0 - math.prod(1 - bound for bound in bounds)


def _groups(
    matrix: SimilarityMatrix, given: ClassList | None, taxonomy: str | None
) -> tuple[Sequence[str] | None, ClassTaxonomy | None]:
    """Return the superclasses of the matrix's classes and the taxonomy above them, as far as they are known."""
    import simmatrix
    from simmatrix.builders.automatic import levels_for
    from simmatrix.builders.taxonomy import TaxonomyColumns, source_of
    from simmatrix.kinds import levels_of

    found = known_list(matrix, given)
    listed = found.select(matrix.classes) if found else simmatrix.ClassList(matrix.classes)
    columns = levels_for(matrix, listed)
    if taxonomy is not None and taxonomy != "wordnet":
        source = source_of(taxonomy, listed)
        columns = source.columns if isinstance(source, TaxonomyColumns) else columns
    tree = simmatrix.read_taxonomy(taxonomy or columns, listed) if taxonomy or columns else None
    return (levels_of([(one, listed.column(one)) for one in columns])[0][1] if columns else None), tree


def _judged(
    matrix: SimilarityMatrix,
    read: Predictions,
    temperature: float | None,
    superclasses: Sequence[str] | None,
    taxonomy: ClassTaxonomy | None,
    confidences: Sequence[float],
) -> dict[str, Any]:
    import torch

    import simloss
    from simloss.backoff import candidates
    from simloss.forms import Dense, from_matrix
    from simloss.metrics import MistakeReport, confused_pairs
    from simloss.metrics import judge as judged_by
    from simloss.scores import as_logits, blocks

    options: dict[str, Any] = {"taxonomy": taxonomy, "superclasses": superclasses}
    scores, is_logits = read.scores, read.are_logits
    if temperature is not None:
        logits = as_logits(torch.from_numpy(scores), from_logits=is_logits)
        scores, is_logits = (logits / temperature).numpy(), True
    form, count = from_matrix(matrix), min(5, len(matrix))
    similarity = form.values if isinstance(form, Dense) else form
    # In parts, since all expected similarities take twice the memory of the scores.
    parts = blocks(torch.from_numpy(scores))
    gains = (simloss.expected_similarity(part, similarity, from_logits=is_logits) for part in parts)
    order = [gain.topk(count, 1).indices for gain in gains]
    found: dict[str, Any] = {"minimum risk": torch.cat(order).numpy()}
    if superclasses is not None:
        order = [simloss.with_superclasses(part, superclasses, from_logits=is_logits).argmax(1) for part in parts]
        found["superclass"] = torch.cat(order).numpy()
    curve = None
    if taxonomy is not None:
        backed_off = candidates(scores, taxonomy, from_logits=is_logits)
        curve = backed_off.curve(read.labels)
        found |= {f"back-off at {confidence:g}": backed_off.at(confidence) for confidence in confidences}
    report = MistakeReport(matrix, **options)
    report.update(torch.from_numpy(scores), torch.from_numpy(read.labels))
    own = report.values_in_float64()
    pairs = confused_pairs(scores, read.labels, matrix, count=_PAIRS)
    return {
        "examples": len(read.labels),
        "classes": len(matrix),
        "temperature": temperature,
        "decisions": {
            "most probable": own,
            **{name: judged_by(preds, read.labels, matrix, **options) for name, preds in found.items()},
        },
        "confused": [pair._asdict() for pair in pairs],
        "drawn": (report, curve),
    }


def _temperature(read: Predictions, path: Path) -> float:
    import simloss
    from simmatrix.errors import SourceError

    try:
        return simloss.fit_temperature(read.scores, read.labels, from_logits=read.are_logits)
    except ValueError as error:
        raise SourceError(f"no temperature can be fitted: {error}", path) from None


def _as_json(content: Mapping[str, Any]) -> str:
    import json
    import math

    decisions = {
        name: {key: None if math.isnan(value) else value for key, value in values.items()}
        for name, values in content["decisions"].items()
    }
    return json.dumps({**content, "decisions": decisions}, indent=2, ensure_ascii=False) + "\n"


def _print(content: Mapping[str, Any]) -> None:
    import math

    decisions: Mapping[str, Mapping[str, float]] = content["decisions"]
    own = decisions["most probable"]
    temperature = content["temperature"]
    print_pairs(
        [
            ("examples", f"{content['examples']:,}"),
            ("classes", f"{content['classes']:,}"),
            ("temperature", "none fitted (--validation)" if temperature is None else f"{temperature:.4g}"),
            ("severity", "1 - S, the mean over the mistakes"),
            ("calibration error", f"{own['calibration_error']:.4f}"),
            ("NDCG", f"{own['ndcg']:.4f}"),
        ]
    )
    print_line("")
    shown = {
        title: key
        for title, key in _COLUMNS.items()
        if any(not math.isnan(values.get(key, math.nan)) for values in decisions.values())
    }
    rows = (
        [name, *("" if math.isnan(values.get(key, math.nan)) else f"{values[key]:.4f}" for key in shown.values())]
        for name, values in decisions.items()
    )
    print_table(["decision", *shown], rows, right=list(shown))
    if content["confused"]:
        print_line("")
        print_table(
            ["most confused", "taken for", "examples", "similarity", "of severity"],
            (
                [
                    str(pair["truth"]),
                    str(pair["predicted"]),
                    f"{pair['examples']:,}",
                    f"{pair['similarity']:.3f}",
                    percent(pair["share"]),
                ]
                for pair in content["confused"]
            ),
            right=["examples", "similarity", "of severity"],
        )


def _draw(drawn: tuple[Any, Any], path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from simmatrix.files import write_atomically

    report, curve = drawn
    count = 1 if curve is None else 2
    figure = Figure(figsize=(5 * count, 4.5), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    report.reliability_diagram(axes[0])
    if curve is not None:
        axes[1].plot(curve.information, curve.accuracy, drawstyle="steps-post")
        axes[1].set(xlabel="information of the nodes decided on, bits", ylabel="decisions that are right")
    stamps = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    kind, content = path.suffix.lower()[1:], io.BytesIO()
    with rc_context({"svg.hashsalt": "simmatrix"}):
        figure.savefig(content, format=kind, dpi=150, metadata=stamps[kind])
    write_atomically(path, [content.getvalue()])
