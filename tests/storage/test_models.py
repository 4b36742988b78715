"""Model files: what comes back is the model that was saved, and what is no model is refused in one line."""

import dataclasses
import json

import numpy as np
import pytest

import tinyebm as te
from tinyebm.common.tree import tree_flatten, tree_map
from tinyebm.storage.checkpoint import save_tree
from tinyebm.storage.models import KINDS, load_model, save_model

MODELS = [
    te.Density(te.MLP((2, 5, 3, 1), "tanh", 0.25), None, te.Reals(2)),
    te.Density(te.MLP((1, 4, 1)), None, te.Reals(1, base_scale=0.5, extent=7.0)),
    te.Density(te.TabularEnergy(4), None, te.Cells(4)),
    te.Density(te.GaussianEnergy(3), None, te.Reals(3)),
    te.Density(te.GaussianMixtureEnergy(3, 2), None, te.Box(-1.5, 2.5, 2, panels=3)),
    te.Density(te.DoubleWell(), None, te.Box(-2, 2, 1)),
    te.Density(te.Quartic(), None, te.Reals(1)),
    te.Density(te.Ring(), None, te.Reals(2)),
    te.Density(te.Banana(), None, te.Reals(2, extent=20.0)),
    te.Density(te.Funnel(3), None, te.Reals(3)),
    te.Density(te.BoltzmannMachine(5), None, te.Spins(5)),
    te.Density(te.RBM(5, 3), None, te.Bits(5)),
    te.Density(te.GaussianBernoulliRBM(3, 2), None, te.Reals(3)),
    te.Density(te.Ising((2, 3), periodic=False), None, te.Spins(6)),
    te.Density(te.Potts(3, (1, 4), simple=False), None, te.Cells(3, dim=4)),
]
FINE = {"energy": {"kind": "DoubleWell"}, "space": {"kind": "Reals", "dim": 1}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


def refused(path):
    """Loading fails with a message of one line that names the file; the message."""
    with pytest.raises(ValueError) as refusal:
        load_model(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
    return str(refusal.value)


def test_the_list_of_models_is_complete():
    """Fails when an energy or a space is added and not tested here."""
    used = {type(part).__name__ for p in MODELS for part in (p.energy, p.space)}
    assert used == set(KINDS)


@pytest.mark.parametrize("p", MODELS, ids=lambda p: f"{type(p.energy).__name__}-{type(p.space).__name__}")
def test_round_trip(path, p):
    """Catches a size, an option or a leaf that is lost, rounded, or comes back as another type."""
    rng = np.random.default_rng(5)
    p = dataclasses.replace(p, theta=tree_map(lambda leaf: leaf + 0.1 * rng.random(leaf.shape), p.energy.init(rng)))
    save_model(path, p, data="rings", standardise=False)
    q, notes = load_model(path)

    assert (q.energy, q.space, notes) == (p.energy, p.space, {"data": "rings", "standardise": False})
    (a, rebuild_a), (b, rebuild_b) = tree_flatten(p.theta), tree_flatten(q.theta)
    assert rebuild_a(range(len(a))) == rebuild_b(range(len(b)))
    assert all(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))
    x = p.space.initial(7, rng)
    assert np.array_equal(p.energy(p.theta, x), q.energy(q.theta, x))


def test_float32_and_numpy_sizes(path):
    """Catches parameters widened to float64, and sizes that came from an array's shape or dtype refused by JSON."""
    net = te.MLP((np.int64(2), np.int32(3), 1), confinement=np.float64(0.5))
    theta = tree_map(lambda leaf: leaf.astype("float32"), net.init(np.random.default_rng(0)))
    save_model(path, te.Density(net, theta, te.Box(np.float32(-1), 1, np.int64(2))))
    p, _ = load_model(path)

    assert p.energy == te.MLP((2, 3, 1), confinement=0.5) and p.space == te.Box(-1.0, 1, 2)
    assert {leaf.dtype.name for leaf in tree_flatten(p.theta)[0]} == {"float32"}


@dataclasses.dataclass(frozen=True)
class Quartic:
    """An energy that only shares its name with one of the package's."""

    def __call__(self, theta, x):
        return x[:, 0] ** 4


@pytest.mark.parametrize("energy", [lambda theta, x: x[:, 0] ** 2, Quartic(), np.sin])
def test_energies_from_elsewhere_are_not_saved(path, energy):
    """Catches a file that could not be read again, and a stranger saved under a friend's name."""
    with pytest.raises(ValueError, match="only energies and spaces of tinyebm can be saved"):
        save_model(path, te.Density(energy, {"a": np.array(1.0)}, te.Reals(1)))
    assert not path.exists()


def test_a_missing_file_is_missing(path):
    """Catches a file that is not there said to be damaged."""
    with pytest.raises(FileNotFoundError, match="model.npz"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"x1,x2\n1,2\n", b"\x93NUMPY\x01\x00", bytes(range(256)), b"PK\x03\x04 no zip"])
def test_foreign_files_are_refused(path, content):
    """Catches a zip or NumPy error that escapes, and a file left open."""
    path.write_bytes(content)
    assert any(words in refused(path) for words in ("not a tinyebm checkpoint", "truncated or damaged"))


@pytest.mark.parametrize("save", [np.savez, np.save])
def test_foreign_arrays_are_refused(path, save):
    """Catches an archive or an array of somebody else's taken for parameters."""
    with open(path, "wb") as file:
        save(file, np.zeros((3, 3)))
    assert any(words in refused(path) for words in ("not a tinyebm checkpoint", "truncated or damaged"))


@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated_files_are_refused(path, part):
    """Catches half a model."""
    save_model(path, te.Density(te.MLP((2, 30, 30, 1)), te.MLP((2, 30, 30, 1)).init(np.random.default_rng(0)), te.Reals(2)))
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    assert any(words in refused(path) for words in ("not a tinyebm checkpoint", "truncated or damaged"))


def test_a_folder_is_no_model(tmp_path):
    """Catches IsADirectoryError with a traceback."""
    assert "not a tinyebm checkpoint" in refused(tmp_path)


@pytest.mark.parametrize("notes", [{}, {"identity": {"seed": 0}}, {"energy": FINE["energy"]}, {"space": FINE["space"]}])
def test_the_checkpoint_of_a_run_is_not_a_model(path, notes):
    """Catches a KeyError."""
    save_tree(path, {"barrier": np.array(2.0)}, **notes)
    assert "checkpoint of a run, not a model" in refused(path)


@pytest.mark.parametrize(("part", "spelled"), [
    ("energy", {"kind": "Transformer"}), ("energy", {"kind": "MLP", "layers": 3}), ("energy", {}), ("energy", "MLP"),
    ("energy", {"kind": "MLP", "sizes": [2, 3]}), ("energy", {"kind": ["MLP"]}), ("energy", None),
    ("energy", {"kind": "Reals", "dim": 1}), ("space", {"kind": "DoubleWell"}), ("space", {"kind": "Reals", "dim": 0}),
    ("space", {"kind": "Reals"}), ("space", {"kind": "exit"})])
def test_unknown_parts_are_refused(path, part, spelled):
    """Catches a TypeError of a constructor, a space taken for an energy, and any name called that a file spells."""
    save_tree(path, {"barrier": np.array(2.0)}, **FINE | {part: spelled})
    assert refused(path)


def test_nothing_is_pickled(path):
    """Catches a file that runs code when it is read: the header is JSON, every array is numbers."""
    save_model(path, te.Density(te.DoubleWell(), te.DoubleWell().init(np.random.default_rng(0)), te.Reals(1)))
    with np.load(path, allow_pickle=False) as file:
        assert json.loads(str(file["header"]))["notes"] == {"energy": FINE["energy"], "space": {
            "kind": "Reals", "dim": 1, "base_scale": None, "extent": None}}
        assert all(file[name].dtype.kind in "fU" for name in file.files)
