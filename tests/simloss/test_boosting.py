"""The objectives for boosted trees: beside the formulas, and within LightGBM and XGBoost themselves."""

import pickle
from types import SimpleNamespace

import lightgbm
import numpy as np
import pytest
import torch
import xgboost
from scipy.special import log_softmax, softmax

import simmatrix
from simloss.boosting import BoostingLoss

NAMES = ["lynx", "cat", "oak", "birch"]


def similarity() -> simmatrix.SimilarityMatrix:
    """Return a matrix whose order is not the alphabet's."""
    values = np.array([[1, 0.7, 0.1, 0], [0.7, 1, 0.2, 0], [0.1, 0.2, 1, 0.6], [0, 0, 0.6, 1]], dtype=np.float32)
    return simmatrix.SimilarityMatrix(values, tuple(NAMES))


def losses(z: np.ndarray, y: np.ndarray, s: np.ndarray, share: float, smoothing: float) -> np.ndarray:
    """Return the loss of each row by its formula, in float64."""
    logp = log_softmax(z, 1)
    others = s - np.eye(len(s))
    targets = (1 - smoothing) * np.eye(len(s)) + smoothing * others / others.sum(1, keepdims=True)
    return -(1 - share) * (targets[y] * logp).sum(1) - share * np.log((s[y] * np.exp(logp)).sum(1))


def grouped(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return features (N, 3) and labels (N) that are not without doubt."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, count)
    return generator.normal(size=(count, 3)) + labels[:, None] * np.array([0.5, 1.0, -0.3]), labels


def test_the_gradient_is_that_of_the_formula_and_the_hessian_bounds_the_true_one():
    generator = np.random.default_rng(1)
    s = similarity().to_dense().astype(np.float64)
    step = 1e-4
    for share, smoothing in ((1.0, 0.0), (0.0, 0.0), (0.4, 0.05), (0.0, 0.3)):
        loss = BoostingLoss(similarity(), share=share, similarity_smoothing=smoothing)
        z, y = generator.normal(size=(60, 4)) * 3, generator.integers(0, 4, 60)
        gradient, hessian = loss.objective(y, z)
        moves = step * np.eye(4)
        expected = np.stack(
            [losses(z + m, y, s, share, smoothing) - losses(z - m, y, s, share, smoothing) for m in moves], axis=1
        ) / (2 * step)
        assert np.abs(gradient - expected).max() < 1e-6, (share, smoothing)
        columns = [loss.objective(y, z + m)[0] - loss.objective(y, z - m)[0] for m in moves]
        true = np.stack(columns, axis=2) / (2 * step)
        slack = np.linalg.eigvalsh(hessian[:, :, None] * np.eye(4) - (true + true.transpose(0, 2, 1)) / 2)
        assert slack.min() > -1e-6, (share, smoothing)
        assert (hessian > 0).all()
    # Where the similar class is the probable one, the true diagonal is negative: the bound is needed.
    z, y = np.array([[0.0, 1.0, -3.0, -3.0]]), np.array([0])
    move = np.array([step, 0, 0, 0])
    only = BoostingLoss(similarity())
    assert ((only.objective(y, z + move)[0] - only.objective(y, z - move)[0]) / (2 * step))[0, 0] < 0


def test_a_decided_row_is_neither_nan_nor_without_curvature():
    gradient, hessian = BoostingLoss(similarity()).objective(np.array([0, 3]), np.array([[1e4, 0, 0, 0]] * 2))
    assert np.isfinite(gradient).all()
    assert (hessian > 0).all()


def test_weights_multiply_rows_in_each_way_to_call():
    _x, y = grouped(20)
    scores, weight = np.random.default_rng(2).normal(size=(20, 4)), np.linspace(0, 2, 20)
    loss = BoostingLoss(similarity(), share=0.5)
    plain, weighted = loss.objective(y, scores), loss.objective(y, scores, weight)
    data = SimpleNamespace(get_label=lambda: y.astype(np.float32), get_weight=lambda: weight.astype(np.float32))
    for one, each, native in zip(plain, weighted, loss.obj(scores, data), strict=True):
        np.testing.assert_array_equal(each, one * weight[:, None])
        np.testing.assert_allclose(native, each, rtol=1e-6)


def test_the_metrics_are_those_of_the_formulas():
    _x, y = grouped(50)
    scores, weight = np.random.default_rng(3).normal(size=(50, 4)), np.linspace(0.1, 2, 50)
    s = similarity().to_dense().astype(np.float64)
    found = BoostingLoss(similarity(), share=0.4).eval_metric(y, scores, weight)
    decided = scores.argmax(1)
    wrong = weight * (decided != y)
    expected = {
        "sim_loss": (weight * losses(scores, y, s, 0.4, 0.0)).sum() / weight.sum(),
        "error": wrong.sum() / weight.sum(),
        "severity": (wrong * (1 - s[y, decided])).sum() / wrong.sum(),
    }
    assert [name for name, _, _ in found] == list(expected)
    np.testing.assert_allclose([value for _, value, _ in found], list(expected.values()), rtol=1e-6)
    assert not any(is_higher_better for _, _, is_higher_better in found)
    right = BoostingLoss(similarity()).eval_metric(y, 9.0 * np.eye(4)[y])
    assert {name: value for name, value, _ in right if name != "sim_loss"} == {"error": 0.0, "severity": 0.0}


def test_xgboost_with_the_identity_grows_its_own_trees():
    x, y = grouped()
    parameters = {"num_class": 4, "max_depth": 3, "eta": 0.3, "nthread": 1, "base_score": 0.0}
    loss = BoostingLoss(torch.eye(4))
    own = xgboost.train({**parameters, "objective": "multi:softprob"}, xgboost.DMatrix(x, y), 5)
    quiet = {**parameters, "disable_default_eval_metric": 1}
    logged: dict = {}
    data = xgboost.DMatrix(x, y)
    ours = xgboost.train(
        quiet, data, 5, obj=loss.obj, custom_metric=loss.custom_metric, evals=[(data, "train")], evals_result=logged,
        verbose_eval=False,
    )  # fmt: skip
    np.testing.assert_allclose(
        softmax(ours.predict(data, output_margin=True), axis=1), own.predict(data), rtol=1e-4, atol=1e-6
    )
    assert logged["train"]["sim_loss"][-1] < logged["train"]["sim_loss"][0]
    assert set(logged["train"]) == {"sim_loss", "error", "severity"}


def test_lightgbm_with_the_identity_of_two_classes_grows_its_own_trees():
    # For two classes its factor C / (C - 1) is 2.
    x, y = grouped()
    y = y // 2
    parameters = {"num_class": 2, "verbose": -1, "num_threads": 1, "boost_from_average": False}
    own = lightgbm.train({**parameters, "objective": "multiclass"}, lightgbm.Dataset(x, y), 5)
    logged: dict = {}
    data = lightgbm.Dataset(x, y)
    loss = BoostingLoss(torch.eye(2))
    ours = lightgbm.train(
        {**parameters, "objective": loss.obj, "metric": "None"}, data, 5, valid_sets=[data], feval=loss.feval,
        callbacks=[lightgbm.record_evaluation(logged)],
    )  # fmt: skip
    np.testing.assert_allclose(softmax(ours.predict(x), axis=1), own.predict(x), rtol=1e-4, atol=1e-6)
    assert set(logged["training"]) == {"sim_loss", "error", "severity"}


@pytest.mark.filterwarnings("ignore:Cannot compute class probabilities:UserWarning")
# Its successors eval_X and eval_y do not number the classes' names, in 4.7.
@pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_lightgbms_classifier_numbers_the_classes_by_the_alphabet_and_so_does_the_loss():
    x, y = grouped()
    names = np.array(NAMES)[y]
    loss = pickle.loads(pickle.dumps(BoostingLoss(similarity(), classes=np.unique(names), share=0.6)))  # noqa: S301
    assert loss.classes == ("birch", "cat", "lynx", "oak")
    model = lightgbm.LGBMClassifier(objective=loss.objective, n_estimators=5, verbose=-1, n_jobs=1)
    model.fit(x, names, eval_set=[(x, names)], eval_metric=loss.eval_metric)
    scores = pickle.loads(pickle.dumps(model)).predict(x, raw_score=True)  # noqa: S301
    (found,) = model.evals_result_.values()
    # The formula, with the matrix as it was given and each name looked up in it.
    columns = [NAMES.index(name) for name in model.classes_]
    s = similarity().to_dense().astype(np.float64)[np.ix_(columns, columns)]
    labels = np.searchsorted(model.classes_, names)
    assert found["sim_loss"][-1] == pytest.approx(losses(scores, labels, s, 0.6, 0.0).mean(), rel=1e-6)
    assert found["error"][-1] < 0.4


def test_a_file_gives_the_same(tmp_path):
    similarity().save(tmp_path / "trees.safetensors")
    y, scores = np.array([1, 2]), np.arange(8.0).reshape(2, 4)
    one = BoostingLoss.from_file(tmp_path / "trees.safetensors", classes=sorted(NAMES), share=0.3)
    other = BoostingLoss(similarity(), classes=sorted(NAMES), share=0.3)
    np.testing.assert_array_equal(one.objective(y, scores)[0], other.objective(y, scores)[0])


def test_what_it_refuses():
    loss = BoostingLoss(similarity())
    bad = [
        (lambda: BoostingLoss(similarity(), share=1.5), "share must be between"),
        (lambda: BoostingLoss(2 * torch.eye(4)), "similarity must lie in"),
        (lambda: BoostingLoss(similarity(), classes=["cat", "dog", "oak", "birch"]), "dog"),
        (lambda: loss.objective(np.array([0, 1]), np.zeros(8)), "one column a class, got \\(8,\\)"),
        (lambda: loss.objective(np.array([0, 4]), np.zeros((2, 4))), "labels must be class indices, 0 to 3"),
        (lambda: loss.objective(np.array([0, -1]), np.zeros((2, 4))), "labels must be class indices"),
        (lambda: loss.objective(np.array([0, 0.5]), np.zeros((2, 4))), "labels must be class indices"),
    ]
    for call, message in bad:
        with pytest.raises((ValueError, simmatrix.SimilarityError), match=message):
            call()
