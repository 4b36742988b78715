"""A short pass through all commands (what each of them does: `test_parser.py`)."""

import re

import matplotlib.pyplot as plt
import numpy as np

import tinyebm as te
from tinyebm.cli.parser import main
from tinyebm.common.backend import Stream


def test_the_command_is_the_library(tmp_path, monkeypatch, capsys):
    """fit, evaluate, sample, plot and compare, each as small as can be.  Catches a command that does not do its job at all."""
    monkeypatch.chdir(tmp_path)
    tiny = "--data bimodal --hidden 4 --steps 4 --batch-size 16 --seed 3"
    assert main(f"fit {tiny} --method cd-1 --ema 0 --learning-rate 0.01 --out small".split()) == 0
    p, _ = te.load_model("small/model.npz")
    capsys.readouterr()

    assert main("evaluate small/model.npz --data bimodal".split()) == 0
    said, data = capsys.readouterr().out, te.datasets.load("bimodal")
    for name, number in (("NLL", te.nll(p, data)), ("KL", te.kl(data, p))):
        assert abs(float(re.search(rf"^.*\b{name}\b\D*([\d.]+)", said, re.MULTILINE)[1]) - number) < 1e-4, said
    assert main("sample small/model.npz -n 7 --seed 1 --out draws.csv".split()) == 0
    np.testing.assert_allclose(np.loadtxt("draws.csv", skiprows=1, ndmin=2), te.sample(p, 7, Stream(1).at(0)))
    assert main("plot small/model.npz --out model.png".split()) == 0 and plt.imread("model.png").std() > 0.05
    assert main(f"compare {tiny} --methods cd-1 --out small".split()) == 0
    assert "cd-1" in (tmp_path / "small" / "compare.txt").read_text()
    plt.close("all")
