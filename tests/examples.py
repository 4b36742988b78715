"""What tests of several rooms share: densities, and the members that the folders' pages define."""

import doctest
import signal

import numpy as np

import tinyebm as te


def plain(energy, space):
    """A density of an energy of x alone."""
    return te.Density(lambda theta, x: energy(x), {}, space)


def network(space, seed=0):
    """A random network on a space, with biases."""
    rng = np.random.default_rng(seed)
    net = te.MLP((space.dim, 10, 10, 1), confinement=1.0)
    theta = [{"W": layer["W"], "b": rng.standard_normal(layer["b"].shape)} for layer in net.init(rng)]
    return te.Density(net, theta, space)


def of_page(page, name):
    """A class or function that the examples of a folder's page define."""
    names = {}
    for example in doctest.DocTestParser().get_examples(page.__doc__):
        if example.source.startswith(("import", "from", "class", "@")):
            exec(example.source, names)
    return names[name]


def hears_ctrl_c():
    """To be called in a new process: a job in the background would ignore SIGINT and SIGHUP."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
