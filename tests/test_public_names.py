"""The public names of both packages: a name that goes away or comes in shows here."""

import simloss
import simmatrix

SIMMATRIX = {
    "ClassList",
    "ClassNotFoundError",
    "ClassOrderError",
    "ClassTaxonomy",
    "Comparison",
    "MatrixError",
    "OutputError",
    "ParameterError",
    "Provenance",
    "SimilarityError",
    "SimilarityMatrix",
    "SourceError",
    "Statistics",
    "__version__",
    "Suggestion",
    "SenseWarning",
    "blend",
    "compare",
    "concerns",
    "export",
    "from_classes",
    "from_confusion",
    "from_embeddings",
    "from_encoder",
    "from_matrix",
    "from_order",
    "from_ratings",
    "from_taxonomy",
    "from_triplets",
    "from_wordnet",
    "load",
    "read_classes",
    "read_taxonomy",
    "save",
    "statistics",
    "suggest",
}
SIMLOSS = {
    "BackOff",
    "ClassParallelSimLoss",
    "Curve",
    "LinearSimLoss",
    "SimLoss",
    "SimilarityLabelSmoothingLoss",
    "SimilarityWarning",
    "SoftLabelLoss",
    "Sparse",
    "Toeplitz",
    "__version__",
    "back_off",
    "back_off_curve",
    "choose_confidence",
    "class_parallel_sim_loss",
    "expected_similarity",
    "fit_temperature",
    "linear_sim_loss",
    "minimum_risk",
    "shard_similarity",
    "sim_loss",
    "with_superclasses",
}


def test_the_public_names() -> None:
    assert set(simmatrix.__all__) == SIMMATRIX
    assert set(simloss.__all__) == SIMLOSS
    for package in (simmatrix, simloss):
        assert set(package.__all__) <= set(dir(package))
        assert all(getattr(package, name) is not None for name in package.__all__)
