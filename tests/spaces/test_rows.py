"""The gate for numbers: what kinds of input there are, and that every public door answers each rightly or in one line.

The stand-ins have the protocols of other libraries, none of which is installed: tables, tensors, sparse matrices.
"""

import linecache
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import tinyebm as te
from tinyebm import ops
from tinyebm.common.tree import ravel, tree_flatten, tree_map
from tinyebm.spaces.rows import as_data, numbers, parameters, rows

HOME = str(Path(te.__file__).parent)
X = np.array([[0.0, 1.0], [2.0, 1.0], [1.0, 0.0], [3.0, 2.0], [0.0, 0.0], [1.0, 3.0]])
THETA = {"mean": np.array([0.5, 1.0]), "precision": np.array([[1.0, 0.2], [0.2, 0.8]])}
P = te.Density(te.GaussianEnergy(2), THETA, te.Reals(2))
CD = te.ContrastiveDivergence(te.ULA(0.1), 1)


def rng():
    return np.random.default_rng(0)


class Table:
    """What a data frame of pandas or polars offers."""

    def __init__(self, **columns):
        self._columns, self.columns = columns, list(columns)

    def __getattr__(self, name):  # a column of that name, as in pandas
        try:
            return self.__dict__["_columns"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name):
        return np.array(self._columns[name])

    def __len__(self):
        return len(next(iter(self._columns.values()), []))

    def to_numpy(self):
        return np.array([list(row) for row in zip(*self._columns.values(), strict=True)], dtype=object)

    def sample(self, n):
        raise AssertionError("a table is no population")


class Unnamed:
    """A table with nothing but its columns' names and a conversion."""

    columns = ("a", "city")

    def __init__(self, rows):
        self.rows = rows

    def to_numpy(self):
        return np.array(self.rows, dtype=object)


class Tensor:
    """What a tensor of torch offers; on a device or with a gradient it refuses to be read."""

    dtype, is_leaf = "torch.float64", True

    def __init__(self, array, trouble=None):
        self.array, self.trouble = array, trouble

    def detach(self):
        return self if self.trouble == "cuda" else Tensor(self.array)

    def __array__(self, dtype=None, copy=None):
        if self.trouble:
            raise RuntimeError("Can't call numpy() on this Tensor.\nUse tensor.cpu() first.")
        return self.array


class Capsule:
    """What only DLPack can read."""

    def __init__(self, array):
        self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def structured(*types):
    """A structured array of two fields."""
    found = np.zeros(len(X), dtype=[("a", types[0]), ("b", types[1])])
    found["a"], found["b"] = X.T.astype(int)
    return found


def quietly(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


INT = X.astype(int)
RIGHT = {  # what means the rows of X
    "uint8": X.astype("u1"), "int8": X.astype("i1"), "int16": X.astype("i2"), "uint32": X.astype("u4"), "int64": INT,
    "uint64": X.astype("u8"), "float16": X.astype("f2"), "float32": X.astype("f4"), "longdouble": X.astype(np.longdouble),
    "other byte order": X.astype(">f8"), "integers of other byte order": X.astype(">i4"), "objects": X.astype(object),
    "list": X.tolist(), "list of integers": INT.tolist(), "tuples": tuple(map(tuple, INT.tolist())), "list of arrays": list(X),
    "matrix": quietly(lambda: np.matrix(X)), "masked array without masks": np.ma.array(X), "structured": structured("f4", "i2"),
    "record": structured("f8", "u1").view(np.recarray), "read-only": np.broadcast_to(X, X.shape),
    "Fortran order": np.asfortranarray(X),
    "strided": np.repeat(X, 2, axis=0)[::2], "reversed": X[::-1].copy()[::-1], "sparse": scipy.sparse.csr_matrix(X.astype("i1")),
    "sparse array": scipy.sparse.coo_array(X), "table": Table(x=X[:, 0], energy=INT[:, 1]), "table of lists": Unnamed(X.tolist()),
    "tensor": Tensor(X.astype("f4")), "tensor with gradient": Tensor(X, "gradient"), "capsule": Capsule(X.copy()),
}  # fmt: skip
WRONG = {  # what does not, and words of the refusal
    "complex": (X * 1j, "complex128"), "text": (X.astype(str), "text is no number"),
    "dates": (INT.astype("M8[D]"), "subtract an origin"),
    "durations": (INT.astype("m8[s]"), "divide by a unit of time"), "too large": (INT + 2**53 + 1, "double precision cannot hold"),
    "too large, unsigned": (X.astype("u8") + np.uint64(2**63 + 1), "double precision cannot hold"),
    "objects that are too large": ((INT + 2**60 + 1).astype(object), "an entry is no number"),
    "gaps": (np.where(X > 2, None, X), "an entry is no number"), "words": ([["a", 1.0]], "an entry is no number"),
    "numbers as text": ([["1", "2"]], "an entry is no number"), "complex entries": ([[1j, 1.0]], "an entry is no number"),
    "ragged": ([[1.0, 2.0], [1.0]], "rows differ in length"), "masked": (np.ma.masked_greater(X, 2), "masked entries"),
    "a column of text": (Table(a=X[:, 0], city=["Ulm"] * 6), "column 'city'"),
    "text in a table": (Unnamed([[1.0, "Ulm"]]), "column 'city'"),
    "a field of text": (np.zeros(6, dtype=[("a", "f8"), ("b", "U3")]), "'b'"), "device": (Tensor(X, "cuda"), "NumPy cannot read"),
    "None": (None, "got NoneType"), "a word": ("two_moons", "got str"), "dict": ({"a": 1}, "got dict"),
    "generator": ((row for row in X), "got generator"),
    "vector": (X[:, 0], r"one column is x[:, None]"), "cube": (X[None], "(1, 6, 2)"), "number": (1.0, "()"),
    "nan": (np.where(X > 2, np.nan, X), "clean it first (row 3 of 6"),
    "nan, single": (np.where(X > 2, np.nan, X).astype("f4"), "clean it first (row 3 of 6"),
    "a gap in a list": ([[1.0, 2.0], [np.nan, 1.0]], "clean it first (row 1 of 2"),
}  # fmt: skip

DOORS = {
    "log_prob": lambda x: te.log_prob(P, x), "score": lambda x: te.score(P, x), "laplacian": lambda x: te.laplacian(P, x),
    "nll": lambda x: te.nll(P, x), "nll_gradient": lambda x: te.nll_gradient(P, x), "mmd": lambda x: te.mmd(x, X + 1),
    "fit": lambda x: te.fit(te.GaussianEnergy(2), x, objective=CD, steps=2, theta=THETA, progress=False).theta,
    "mle": lambda x: te.mle(te.GaussianEnergy(2), x, progress=False).theta,
    "run": lambda x: te.run(te.ULA(0.01, temperature=0.0), P, x, 3, rng())[0],
    "exact_cd_gradient": lambda x: te.exact_cd_gradient(P, x, te.ULA(0.1), 1),
    "a law": lambda x: te.Normal([0, 1], [[2, 0], [0, 1]]).log_prob(x),
    "a target": lambda x: te.datasets.load("two_moons").log_prob(x),
    "an objective": lambda x: te.ScoreMatching().gradient(P, x, None).gradient,
    "annealing": lambda x: te.reverse_ais(P, x, rng(), temperatures=3),
}  # fmt: skip
LOOSE = {"score", "laplacian", "fit", "run", "an objective"}  # single precision stays single


def flat(answer):
    return ravel(answer)[0] if isinstance(answer, dict) else np.asarray(answer)


WANTED = {door: flat(ask(X)) for door, ask in DOORS.items()}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.replayed  # chains of another fit, with other random numbers, are the reference
@pytest.mark.parametrize("kind", RIGHT)
def test_right(kind, door):
    """The answer is that of the same rows in double precision, to the last bits, and it is of double precision.

    Catches squares in eight bits, weights and sums of the type of the rows, and a container that is refused.
    """
    found, single = flat(DOORS[door](RIGHT[kind])), door in LOOSE and kind in ("float32", "tensor")

    np.testing.assert_allclose(found, WANTED[door], rtol=1e-5 if single else 1e-13, atol=1e-5 if single else 1e-13)
    assert found.shape == WANTED[door].shape and (single or found.dtype == np.float64)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", WRONG)
def test_refused(kind, door):
    """In one line of ours that names the thing and the remedy.  Catches an error of NumPy's, and a number for what is none."""
    x, words = WRONG[kind]
    with pytest.raises((ValueError, TypeError)) as caught:
        DOORS[door](x)

    where = traceback.extract_tb(caught.tb)[-1]
    assert where.filename.startswith(HOME) and "raise " in linecache.getline(where.filename, where.lineno), where
    said = str(caught.value)
    odd = {("vector", "exact_cd_gradient"): "probabilities must sum to 1", ("nan", "run"): "nan or lie outside",
           ("nan", "annealing"): "lie outside"}  # fmt: skip
    kind = "nan" if door in ("run", "annealing") and ("nan" in kind or "gap in" in kind) else kind
    assert "\n" not in said and odd.get((kind, door), words) in said, said


# -------------------------------------------------------------------------------------------------------------- the gate

def test_arrays_pass_untouched():
    """Catches a copy of what is right already, and a Var or a traced array that is read."""
    for dtype in (np.float64, np.float32):
        x = X.astype(dtype)
        assert rows(x, 2) is x and numbers(x, "") is x and as_data(x) is x
    assert te.grad(lambda x: ops.sum(te.score(P, x)))(X).tolist() == [[-1.2, -1.0]] * 6


@pytest.mark.parametrize("dtype", ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g"])
def test_extremes_survive(dtype):
    """The smallest and largest numbers of a type come back, or are refused.  Catches a sign lost, or a number rounded."""
    kind = np.dtype(dtype).kind
    ends = (np.finfo if kind == "f" else np.iinfo)(dtype) if kind != "b" else None
    x = np.array([ends.min, ends.max] if ends else [False, True], dtype)
    if dtype in ("i8", "u8", "g"):
        with pytest.raises(ValueError, match="double precision cannot hold"):
            numbers(x, "numbers")
        x = np.array([2**53, 1, 2**60], dtype)
    assert [type(a)(b) for a, b in zip(x.tolist(), numbers(x, "numbers").tolist(), strict=True)] == x.tolist()
    assert numbers(x, "numbers").dtype == (np.float32 if dtype == "f4" else np.float64)


def test_tables_of_odd_columns():
    """Names that twice are one, and no columns at all.  Catches a column taken for another, and one that is lost."""
    class Twice(Unnamed):
        columns = ("a", "a")

        def __getitem__(self, name):
            return [row[0] for row in self.rows]

    assert numbers(Twice([[1.0, 2.0], [3.0, 4.0]]), "").tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert numbers(Table(), "").shape == (0, 0)
    large = Table(a=[0.5, 1.5], id=[2**53 + 1, 1])
    with pytest.raises(ValueError, match="column 'id'"):
        numbers(large, "x")


def test_a_table_is_no_population():
    """Columns with the names of attributes that a Target has.  Catches a column taken for a law, and rows drawn by `sample`."""
    table = Table(x=X[:, 0], law=X[:, 1])
    assert te.nll(P, table) == te.nll(P, X)
    names = {"entropy": X[:, 0], "energy": X[:, 1]}
    fitted = te.fit(te.GaussianEnergy(2), Table(**names), objective=te.ExactLikelihood(), steps=1, progress=False)
    assert "kl" not in fitted.history and fitted.density.space == te.Reals(2)
    assert "kl" not in te.mle(te.GaussianEnergy(2), Table(**names), progress=False).history
    found = te.compare(Table(x=np.repeat(X[:, 0], 4)), methods=["mle"], steps=2, race=False, progress=False)
    assert found.settings["rows"] == [18, 6]


def test_data_of_any_numbers():
    """Catches bits that stay bits in the arithmetic of their type."""
    data = te.datasets.Data("bits", X.astype("u1"), "", "", ("a", "b"), np.zeros(2), np.ones(2))
    assert data.x.dtype == np.float64 and te.nll(P, data) == te.nll(P, X)


# ---------------------------------------------------------------------------------------------- energies, spaces, chains

LARGE = np.array([[20, 17], [-100, 3], [0, 0], [127, -128]], "i1")


@pytest.mark.parametrize("energy", [
    te.GaussianEnergy(2), te.GaussianMixtureEnergy(3, 2), te.Ring(), te.Banana(), te.Funnel(2), te.MLP((2, 4, 1), confinement=1.0),
    te.BoltzmannMachine(2), te.RBM(2, 3), te.GaussianBernoulliRBM(2, 3), te.Ising((1, 2))], ids=repr)  # fmt: skip
@pytest.mark.parametrize("dtype", ["i1", "i8", "f2"])
def test_energies_of_small_integers(energy, dtype):
    """Called by themselves.  Catches x * x in eight bits, where 20² is -112."""
    theta = energy.init(rng())
    x = LARGE if dtype == "i1" else LARGE.astype(dtype)
    np.testing.assert_array_equal(energy(theta, x), energy(theta, LARGE * 1.0))
    np.testing.assert_array_equal(energy(theta, x.tolist()), energy(theta, LARGE * 1.0))


@pytest.mark.parametrize("energy", [te.DoubleWell(), te.Quartic()], ids=repr)
def test_energies_on_the_line_of_small_integers(energy):
    x, theta = LARGE[:, :1], energy.init(rng())
    np.testing.assert_array_equal(energy(theta, x), energy(theta, x * 1.0))
    np.testing.assert_array_equal(energy(theta, np.abs(x.astype(int)).astype("u1")), energy(theta, x * 1.0))


def test_base_measures_of_small_integers():
    space = te.Reals(2, base_scale=3.0)
    np.testing.assert_array_equal(space.log_base(LARGE), space.log_base(LARGE * 1.0))


@pytest.mark.parametrize("kernel", [
    te.ULA(np.float64(0.1)), te.ULA(0.1, np.float64(2.0)), te.MALA(np.float64(0.1)), te.HMC(np.float64(0.1), 2),
    te.Recipe(np.float64(0.1), np.float64(0.1), np.float64(1.0), (np.float64(-1), np.float64(1)))],
    ids=["ULA", "hot ULA", "MALA", "HMC", "Recipe"])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*does not sample")
def test_chains_keep_single_precision(kernel):
    """Parameters, walls and steps in double precision, or as NumPy's numbers.  Catches points that are widened on the way."""
    energy = te.Banana()
    for space in (te.Box(np.float64(-3), np.float64(3), 2), te.Reals(2, base_scale=np.float64(2))):
        p, x = te.Density(energy, energy.init(rng()), space), rng().uniform(-1, 1, (40, 2)).astype("f4")
        assert kernel.step(p, x, rng()).x.dtype == te.run(kernel, p, x, 3, rng())[0].dtype == np.float32
        assert kernel.step(p, (10 * x).astype("i1") % 3, rng()).x.dtype == np.float64
    assert "np." not in repr(space)


def test_block_gibbs_keeps_single_precision():
    p = te.Density(te.RBM(3, 2), te.RBM(3, 2).init(rng()), te.Bits(3))
    bits = p.space.initial(20, rng())
    for dtype, wanted in {"f4": "f4", "f8": "f8", "bool": "f8", "u1": "f8", "f2": "f8"}.items():
        for kernel in (te.BlockGibbs(), te.Gibbs(), te.GibbsWithGradients()):
            assert kernel.step(p, bits.astype(dtype), rng()).x.dtype == np.dtype(wanted)


# ------------------------------------------------------------------------------------------------- sums and exact answers

def test_many_rows_of_single_precision():
    """70 000 of them far from 0.  Catches weights and sums in single precision, under an error bar of double precision."""
    x = (100 + rng().standard_normal((70_000, 1))).astype("f4")
    p = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))
    wanted = 0.5 * float((x.astype(float) ** 2).mean()) + 0.5 * np.log(2 * np.pi)

    assert abs(te.nll(p, x) - wanted) < 1e-13 * wanted
    assert abs(te.nll_gradient(p, x)["mean"][0] + x.astype(float).mean()) < 1e-12
    fitted = te.mle(te.GaussianEnergy(1), x, progress=False, theta={"mean": np.array([99.0]), "precision": np.eye(1)})
    assert abs(fitted.theta["mean"][0] - x.astype(float).mean()) < 1e-5
    settings = {"objective": CD, "steps": 0, "dtype": "float32", "progress": False}
    assert abs(te.fit(te.GaussianEnergy(1), x, theta=p.theta, **settings).history["nll"][0] - wanted) < 1e-12 * wanted
    theta = {"logits": np.zeros(1), "mean": np.array([[100.0]]), "log_scale": np.array([0.3])}
    mixture = te.fit(te.GaussianMixtureEnergy(1, 1), x, theta=theta, **settings)
    assert abs(mixture.history["nll"][0] - te.nll(mixture.density, x)) < 1e-12


@pytest.mark.parametrize("dtype", ["f4", "f2", "i1", "u1", "i8", "bool"])
def test_parameters_of_any_type(dtype):
    """Exact answers in double precision, as of the same numbers.  Catches single precision under an error bar of 1e-12, and
    negative numbers without a sign."""
    theta = {"logits": np.array([1, 0, 1]).astype(dtype), "mean": np.array([[0], [1], [1]]).astype(dtype),
             "log_scale": np.array([1, 0, 0]).astype(dtype)}  # fmt: skip
    mixture = te.GaussianMixtureEnergy(3, 1)
    p, q = (te.Density(mixture, t, te.Reals(1, extent=25.0)) for t in (theta, tree_map(lambda a: a.astype(float), theta)))
    x = np.array([[0.5], [-3.0]], "f4")

    for ask in (te.log_partition, te.entropy, lambda p: te.log_prob(p, x), lambda p: te.nll(p, x), te.probabilities,
                lambda p: te.expectation(p, lambda x: x[:, 0] ** 2), lambda p: te.nll_gradient(p, x), lambda p: te.kl(p, q),
                lambda p: te.fisher_divergence(q, p), lambda p: te.total_variation(p, q), lambda p: te.sample(p, 5, rng()),
                lambda p: te.exact_cd_gradient(p, x, te.MALA(0.1), 1), lambda p: te.ais(p, 20, rng(), temperatures=3),
                lambda p: te.mmd(p, x)):
        found, wanted = flat(ask(p)), flat(ask(q))
        assert found.dtype == np.float64 and found.tolist() == wanted.tolist()


@pytest.mark.parametrize("barrier", [2, True, 2.0, np.int8(2), np.uint8(2), np.float16(2), np.float32(2), np.float64(2)])
def test_parameters_that_are_numbers(barrier):
    """Catches a gradient that only arrays have, and a sign that eight bits lose."""
    well = te.DoubleWell()
    p, q = (te.Density(well, {"barrier": height}, te.Reals(1)) for height in (barrier, np.array(float(barrier))))
    assert te.log_prob(p, [[2]])[0] == te.log_prob(q, [[2]])[0] and te.log_partition(p) == te.log_partition(q)
    assert te.nll_gradient(p, X[:, :1]) == te.nll_gradient(q, X[:, :1])


def test_parameters_that_are_right_stay():
    theta = [{"W": np.ones((2, 1), "f4"), "b": np.float64(1)}, (np.zeros(3),)]
    assert parameters(theta) is theta and te.Density(lambda theta, x: x[:, 0], theta, te.Reals(2)).theta is theta
    with pytest.raises(ValueError, match="theta holds floating-point arrays"):
        parameters({"a": np.array([2**53 + 1])})


def test_energies_in_single_precision_have_no_exact_answers():
    """Where rows and parameters are in double precision.  Catches an error bar that does not know of it."""
    narrow = te.Density(lambda theta, x: (0.1 * x.sum(axis=1)).astype("f4"), {}, te.Bits(3))
    for ask in (te.log_partition, te.entropy, lambda p: te.nll(p, [[0, 1, 1]])):
        with pytest.raises(ValueError, match="the energies are float32 where rows and parameters are float64"):
            ask(narrow)


@pytest.mark.parametrize("f, wanted", [
    (lambda hit: hit, 0.5), (lambda hit: hit.astype("u1") * 200, 100.0), (lambda hit: hit.astype("i1") * -128, -64.0),
    (lambda hit: hit.tolist(), 0.5), (lambda hit: hit.astype("f2"), 0.5), (lambda hit: hit.astype("f4"), 0.5),
    (lambda hit: np.ma.array(hit), 0.5), (lambda hit: hit.astype(int), 0.5)])  # fmt: skip
def test_expectations_of_any_numbers(f, wanted):
    """Sums are of double precision.  Catches 200 + 200 = 144, and |-128| = -128 in an error."""
    p = te.Density(te.GaussianEnergy(1), {"mean": np.zeros(1), "precision": np.eye(1)}, te.Reals(1))
    found = te.expectation(p, lambda x: f(x[:, 0] > 0))
    assert abs(found - wanted) <= found.error and abs(found - wanted) < 0.2 * abs(wanted)


@pytest.mark.parametrize("dtype", ["bool", "u1", "i1", "i8", "f2", "f4"])
def test_diagnostics_of_any_numbers(dtype):
    """Catches differences of unsigned numbers, and means of single precision."""
    chains, scores = rng().integers(0, 2, (4, 200)), rng().integers(0, 2, 30)
    for ask in (te.split_rhat, te.effective_sample_size, te.autocorrelation, lambda c: te.effective_sample_size(c, "tail"),
                lambda c: te.effective_sample_size(c.T[:, :, None], "mean")):
        np.testing.assert_array_equal(ask(chains.astype(dtype)), ask(chains * 1.0))
    assert te.auroc(scores.astype(dtype), scores[:9].astype(dtype)) == te.auroc(scores * 1.0, scores[:9] * 1.0)
    assert te.auroc(scores.tolist(), [0, 1]) == te.auroc(scores * 1.0, np.array([0.0, 1.0]))


# -------------------------------------------------------------------------------------------------------- single precision

class Widening:
    """An energy that holds numbers of NumPy's in double precision."""

    def init(self, rng):
        return {"a": np.ones(1), "b": np.zeros(1)}

    def __call__(self, theta, x):
        z = x * theta["a"] * np.array([1.5]) - theta["b"]
        return np.float64(0.5) * ops.sum(z * z, axis=1) + np.float64(0.1) * x[:, 0] ** np.float64(2)


@pytest.mark.parametrize("objective", [
    CD, te.PersistentContrastiveDivergence(te.MALA(np.float64(0.1)), 1, chains=64), te.ShortRun(te.HMC(np.float64(0.1), 2), 2),
    te.PerfectSamples(), te.ExactLikelihood(), te.ExactContrastiveDivergence(te.ULA(0.1), 1), te.ScoreMatching(),
    te.DenoisingScoreMatching(np.float64(0.1)), te.SlicedScoreMatching(), te.NoiseContrastive(te.Normal([0], [[1]]))],
    ids=lambda objective: type(objective).__name__)  # fmt: skip
def test_fits_in_single_precision_stay_so(objective, tmp_path):
    """θ, its average and what is resumed, beside numbers of double precision in the energy and the optimiser."""
    adam = te.adam(lambda step: np.float64(0.01), np.float64(0.9))
    settings = {"objective": objective, "optimizer": adam, "ema": np.float64(0.9), "clip": np.float64(1.0), "dtype": "float32",
                "progress": False, "batch_size": 32, "log_every": 2}  # fmt: skip
    x = rng().standard_normal((64, 1))
    energy = Widening()
    whole = te.fit(energy, x, steps=4, **settings)
    te.fit(energy, x, steps=2, checkpoint=tmp_path / "run.npz", **settings)
    found = te.fit(energy, x, steps=4, checkpoint=tmp_path / "run.npz", resume=True, **settings)

    for fitted in (whole, found):
        leaves, _ = tree_flatten((fitted.theta, fitted.state["theta"], fitted.state["ema"]))
        assert {leaf.dtype for leaf in leaves} == {np.dtype("f4")}
    assert ravel(found.theta)[0].tolist() == ravel(whole.theta)[0].tolist() and np.isfinite(whole.history["nll"]).all()
