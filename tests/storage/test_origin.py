"""What a model file remembers of its data, and other data put into its units by its own numbers."""

import math

import numpy as np
import pytest

import tinyebm as te
from tinyebm.datasets.load import load
from tinyebm.storage.models import load_model, save_model
from tinyebm.storage.origin import origin, remembered, seen_by, trained_rows

X = np.random.default_rng(0).normal([3.0, -100.0], [1.5, 20.0], size=(40, 2))
NORMAL = te.Density(te.GaussianEnergy(2), {"mean": np.array([0.1, 0.2]), "precision": np.array([[1.0, 0.3], [0.3, 2.0]])},
                    te.Reals(2))
BITS = te.Density(te.RBM(3, 2), te.RBM(3, 2).init(np.random.default_rng(0)), te.Bits(3))


def table(folder, x, names=("a", "b"), name="t.csv", fmt="%.17g"):
    np.savetxt(folder / name, x, fmt, ",", header=",".join(names or ()), comments="")
    return folder / name


def file_of(folder, p, data, trained=None):
    """The (model, notes) that come back from a file."""
    save_model(folder / "model.npz", p, **origin(data, trained))
    return load_model(folder / "model.npz")


@pytest.mark.parametrize("standardise", [True, False])
def test_origin_leads_back_to_the_rows(tmp_path, standardise):
    """`load` with what it says gives the same rows.  Catches raw data that come back standardised, and a name for a path."""
    for name in (table(tmp_path, X[:, :1] * 1e-6, ["a"]), "faithful"):
        data = load(name, standardise)
        said = origin(data)
        again = load(said["data"], said["standardise"])

        assert np.array_equal(again.x, data.x) and said["columns"] == list(data.columns)
        assert np.allclose(data.x * said["scale"] + said["centre"], load(name, standardise=False).x, rtol=1e-14)


def test_rows_are_put_into_the_units_of_the_model(tmp_path):
    """By the numbers it was trained with, to the bit.  Catches rows far away that look like those of the training file."""
    p, notes = file_of(tmp_path, NORMAL, load(table(tmp_path, X)))
    for other in (X, X[:7], X + [1000, 0], 5 * X):
        data, assumed = seen_by(p, notes, load(table(tmp_path, other, name="other.csv"), standardise=False))
        np.testing.assert_array_equal(data.x, (other - X.mean(axis=0)) / X.std(axis=0))
        assert assumed == [] and data.space is None
        np.testing.assert_allclose(data.original(data.x), other, rtol=1e-13)


def test_original_units_are_larger_by_the_log_of_the_scale(tmp_path):
    """NLL, entropy and log Z against the same normal law written in the units of the file.  Catches a sign, log 2, one column."""
    p, notes = file_of(tmp_path, NORMAL, load(table(tmp_path, X)))
    known = remembered(notes)
    P = p.theta["precision"] / np.outer(known.scale, known.scale)
    q = te.Density(p.energy, {"mean": known.original(p.theta["mean"][None])[0], "precision": P}, te.Reals(2))
    data, _ = seen_by(p, notes, load(table(tmp_path, X[:9], name="other.csv"), standardise=False))

    assert known.log_scale == pytest.approx(math.log(X.std(axis=0).prod()), rel=1e-14)
    for one, other in ((te.nll(p, data), te.nll(q, X[:9])), (te.entropy(p), te.entropy(q)),
                       (te.log_partition(p), te.log_partition(q))):
        assert float(one) + known.log_scale == pytest.approx(float(other), abs=1e-9)


def test_populations_have_their_own_units(tmp_path):
    """Catches a population beside standardised columns, and of another kind of states."""
    moons, csv = load("two_moons"), load(table(tmp_path, X))
    with pytest.raises(ValueError, match="columns of .*t.csv, and the population two_moons has units of its own.* --raw"):
        seen_by(*file_of(tmp_path, NORMAL, csv), moons)
    raw = file_of(tmp_path, NORMAL, load(tmp_path / "t.csv", standardise=False))
    assert seen_by(*raw, moons)[0] is moons and "units" in seen_by(*raw, moons)[1][0]
    assert seen_by(*file_of(tmp_path, NORMAL, load("rings")), moons) == (moons, [])
    with pytest.raises(ValueError, match=r"two_moons_bits lives on Bits|the data have"):
        seen_by(*file_of(tmp_path, NORMAL, load("rings")), load("two_moons_bits"))
    with pytest.raises(ValueError, match="the data have 2 columns, the model has dimension 3"):
        seen_by(*file_of(tmp_path, BITS, moons), moons)

    rows, assumed = seen_by(*file_of(tmp_path, NORMAL, moons), load("faithful", standardise=False))
    np.testing.assert_array_equal(rows.x, load("faithful", standardise=False).x)
    assert len(assumed) == 1 and "units of two_moons" in assumed[0]
    rows, assumed = seen_by(NORMAL, {}, load("faithful", standardise=False))  # of a model saved by hand
    assert rows.x[0].tolist() == [3.6, 79.0] and "names none" in assumed[0]


@pytest.mark.parametrize(("names", "message"), [
    (("b", "a"), "does not have the columns of the model, a, b: it has them in another order"),
    (("a", "c"), "it has no 'b' and it has 'c'"), (("a",), "it has no 'b'$"), (("a", "b", "c"), "it has 'c'$"),
    (("A", "b"), "it has no 'a' and it has 'A'")])
def test_other_columns_are_refused_by_name(tmp_path, names, message):
    """Catches columns exchanged, and one for another."""
    p, notes = file_of(tmp_path, NORMAL, load(table(tmp_path, X)))
    other = load(table(tmp_path, np.ones((3, len(names))), names, "other.csv"), standardise=False, space="reals")
    with pytest.raises(ValueError, match=f"other .*{message}"):
        seen_by(p, notes, other)


def test_columns_without_names(tmp_path):
    """Are taken in their order, which is said; their number must be right.  Catches names that are made up taken for names."""
    p, notes = file_of(tmp_path, NORMAL, load(table(tmp_path, X)))
    np.save(tmp_path / "x.npy", X)
    data, assumed = seen_by(p, notes, load(tmp_path / "x.npy", standardise=False))
    np.testing.assert_array_equal(data.x, load(tmp_path / "t.csv").x)
    assert assumed == ["the columns are taken in the order in which they stand"]
    np.save(tmp_path / "x.npy", X[:, :1])
    with pytest.raises(ValueError, match="the data have 1 columns, the model has dimension 2"):
        seen_by(p, notes, load(tmp_path / "x.npy", standardise=False))


def test_rows_trained_on_are_known_again(tmp_path):
    """Wherever they stand, as often as they were trained on, in any file.  Catches test rows among the training rows."""
    data = load(table(tmp_path, X))
    p, notes = file_of(tmp_path, NORMAL, data, data.x[10:])
    seen = lambda x: trained_rows(p, notes, seen_by(p, notes, load(table(tmp_path, x, name="o.csv"), standardise=False))[0])

    np.testing.assert_array_equal(seen(X), np.arange(40) >= 10)
    np.testing.assert_array_equal(seen(X[::-1]), np.arange(40) < 30)
    np.testing.assert_array_equal(seen(np.vstack([X[12:14], X[12:13], X[12:13] + 1e-12, X[:1]])), [True, True, False, False, False])
    assert not seen(X + 0.5).any()
    assert trained_rows(p, {name: notes[name] for name in ("centre", "scale", "columns")}, data) is None  # an older file


def test_equal_states_are_told_apart_in_their_table_alone(tmp_path):
    """By count, whatever the order; in another table not at all.  Catches new patterns said to be trained on."""
    x = np.random.default_rng(1).integers(0, 2, (40, 3))
    data = load(table(tmp_path, x, "abc", fmt="%d"))
    p, notes = file_of(tmp_path, BITS, data, data.x[10:])
    seen = lambda x: trained_rows(p, notes, seen_by(p, notes, load(table(tmp_path, x, "abc", "o.csv", "%d"), False, "reals"))[0])

    mask = seen(x)
    assert mask.sum() == 30
    assert sorted(x[mask].tolist()) == sorted(x[10:].tolist()) and sorted(x[~mask].tolist()) == sorted(x[:10].tolist())
    assert seen(x[::-1]).sum() == 30 and seen(x[:39]) is None and seen(np.vstack([x, x])) is None


def test_what_is_no_state_is_refused(tmp_path):
    """Catches an infinite NLL for spins given to a model of bits."""
    data = load(table(tmp_path, np.array([[0, 1, 1], [1, 1, 0]]), "abc", fmt="%d"))
    p, notes = file_of(tmp_path, BITS, data)
    for row in ([1, -1, 1], [0.5, 0, 0]):
        other = load(table(tmp_path, [[0, 1, 1], row], "abc", "o.csv"), standardise=False, space="reals")
        with pytest.raises(ValueError, match=r"o: row 2 is \[.*\], no state of Bits\(dim=3\)"):
            seen_by(p, notes, other)


def test_a_header_that_was_said_is_remembered(tmp_path):
    """Catches a training file that its own model cannot read again."""
    (tmp_path / "t.csv").write_text("0,1\n0.5,1.5\n2.5,0.25\n")
    for header in (True, False):
        assert origin(load(tmp_path / "t.csv", header=header))["header"] is header
    assert "header" not in origin(load("faithful")) and origin(load(tmp_path / "t.csv", header=True))["columns"] == ["0", "1"]
