"""What users get wrong in Python: calls, and what is said of them.

What the names stand for is in `test_mistakes.py`.  A row reads `call -> message`, / between parts of the message; its
exception is a ValueError, unless another name stands before it.
"""

FILES = {"words.csv": "a,b\n1,2\n3,x\n", "ragged.csv": "a,b\n1,2\n3\n", "extra.csv": "1,2\n1,2,3\n", "empty.csv": "",
         "header.csv": "a,b\n", "nan.csv": "1,2\nnan,3\n", "constant.csv": "1,5\n2,5\n3,5\n",
         "four.csv": "1,2,3,4\n2,3,4,6\n3,3,4,7\n9,8,1,2\n", "text.npz": "hello", "null.npy": "",
         "years.csv": "2019,2020\n1.5,2.5\n3.5,4.5\n"}

CALLS = r"""
te.grad(lambda x: x * x)(np.ones(3)) -> TypeError: grad needs a scalar function, this one returned an array of shape
te.grad(lambda x: ops.sum(x))(np.array([1, 2])) -> TypeError: can only differentiate by floating-point arrays, got int64:
te.grad(lambda x: ops.sum(x), argnum=1)(np.ones(2)) -> argnum=1 counts arguments from 0, and the function was called with 1
te.grad(lambda x: np.array(1.0))("abc") -> TypeError: can only differentiate by floating-point arrays, got 'abc': convert
te.grad(lambda x: None)(np.ones(2)) -> TypeError: the function must return one array, and returned None: is its `return` missing?
te.grad(3) -> TypeError: a function to differentiate is wanted, got 3
te.grad(lambda x: ops.sum(x) > 0)(np.ones(2)) -> TypeError: grad needs a function with a slope, this one returned bool: is a
te.grad(lambda x: float(ops.sum(x)))(np.ones(2)) -> TypeError: an array under grad met a function that would lose its
te.value_and_grad(lambda x: x)(np.ones(2)) -> TypeError: grad needs a scalar function, this one returned an array of shape
te.vjp(lambda x: x * 2, np.ones(2))[1](np.ones(3)) -> a cotangent has the shape of its output, (2,), not that of array([1., 1.,
te.hvp(lambda x: ops.sum(x * x), np.ones(2), np.ones(3)) -> v has the shapes of x, [(2,)], not [(3,)]
te.hvp(lambda x: x * x, np.ones(2), np.ones(2)) -> TypeError: grad needs a scalar function, this one returned an array of shape
te.grad(lambda x: ops.sum(np.sinc(x)))(np.ones(2)) -> TypeError: an array under grad met a function that would lose its
te.grad(lambda x: ops.sum(np.linalg.inv(x)))(np.eye(2)) -> TypeError: an array under grad met a function that would lose its
te.grad(lambda x: ops.sum(ops.matmul(x, np.ones((3, 2)))))(np.ones((2, 2))) -> matmul of shapes (2, 2), (3, 2): matmul: Input
te.grad(lambda x: ops.sum(ops.concatenate([x, np.ones((2, 2))])))(np.ones(2)) -> shapes must agree except along axis 0, got
te.grad(lambda x: ops.sum(ops.reshape(x, (3, 3))))(np.ones(4)) -> reshape of shapes (4,): cannot reshape array of size 4 into
te.grad(lambda x: ops.sum(x, axis=4))(np.ones(4)) -> AxisError: sum of shapes (4,): axis 4 is out of bounds for array of
te.grad(lambda x: x[7])(np.ones(4)) -> IndexError: getitem of shapes (4,): index 7 is out of bounds for axis 0 with
te.grad(lambda x: x + np.ones(3))(np.ones(2)) -> add of shapes (2,), (3,): they do not broadcast to one shape
te.grad(lambda x: sum(x))(2.0) -> TypeError: a number under grad has no length and no entries: loops, sum, min and max go over
te.grad(lambda x: ops.sum(x) ** 2j)(np.ones(2)) -> TypeError: derivatives are those of real numbers, and a complex one was met
te.vjp(lambda x: x * 2, np.ones(2))[1](np.ones(2) * 1j) -> TypeError: a cotangent is of real numbers, got complex128
te.grad(lambda x: ops.sum(x * np.ma.masked_less([-1.0, 1.0], 0)))(np.ones(2)) -> TypeError: a masked array met one under grad
te.grad(lambda x: ops.sum(ops.where(np.ones(2), x, 0.0)))(np.ones(2)) -> TypeError: where takes booleans first, then what is
te.grad(lambda x: ops.sum(ops.concatenate([x[0], x[1]])))(np.ones(2)) -> concatenate joins arrays along an axis of theirs, 0,
te.grad(lambda x: ops.sum(ops.concatenate([])))(np.ones(2)) -> concatenate joins arrays along an axis of theirs, 0, got the
te.grad(lambda x: ops.sum(ops.concatenate([x, x[:, None]])))(np.ones(2)) -> shapes must agree except along axis 0, got [(2,),
te.score(p, nanx) -> x holds nan: clean it first (row 2 of 6, counted from 0)
te.laplacian(p, nanx) -> x holds nan: clean it first (row 2 of 6, counted from 0)
te.log_prob(p, nanx) -> x holds nan: clean it first (row 2 of 6, counted from 0)
law.log_prob(nanx) -> x holds nan: clean it first (row 2 of 6, counted from 0)
moons.log_prob(nanx) -> x holds nan: clean it first (row 2 of 6, counted from 0)
cd.gradient(p, nanx, rng) -> x holds nan: clean it first (row 2 of 6, counted from 0)
te.ScoreMatching().gradient(p, nanx, rng) -> x holds nan: clean it first (row 2 of 6, counted from 0)
te.nll(p, nanx) -> data holds nan or inf: clean it first (row 2 of 6, counted from 0)
te.Reals(0) -> dim must be a positive integer, got 0
te.Reals(2.5) -> dim must be a positive integer, got 2.5
te.Reals("2") -> dim must be a positive integer, got '2'
te.Reals(None) -> dim must be a positive integer, got None
te.Reals(True) -> dim must be a positive integer, got True
te.Reals(2, base_scale=0) -> base_scale must be positive and finite, got 0
te.Reals(2, base_scale=np.nan) -> base_scale must be positive and finite, got nan
te.Reals(2, base_scale="1") -> base_scale must be positive and finite, got '1'
te.Reals(2, extent=-1) -> extent must be positive and finite, got -1
te.Reals(2).atoms(1) -> nodes must be an integer >= 2, or 2 of them, got 1
te.Reals(2).atoms((3, 4, 5)) -> nodes must be an integer >= 2, or 2 of them, got (3, 4, 5)
te.Reals(4).atoms() -> exact answers need a grid, and a grid in dimension 4 would need about 40^4
te.Reals(2).atoms("9") -> nodes must be an integer >= 2, or 2 of them, got '9'
te.Reals(3).atoms(10**6) -> QuadratureError: 1000000 x 1000000 x 1000000 nodes are 1.0e+18 atoms, 3e+10
te.Box(1, 0, 1) -> a box needs two numbers low < high, got 1 and 0
te.Box(0, np.inf, 1) -> a box needs two numbers low < high, got 0 and inf
te.Box(0, 1, 0) -> dim must be a positive integer, got 0
te.Box([0, 0], [1, 1], 2) -> a box needs two numbers low < high, got [0, 0] and [1, 1]
te.Box("0", "1", 2) -> a box needs two numbers low < high, got '0' and '1'
te.Box(0, 1, 2, panels=0) -> panels must be an integer from 1 to 1000, got 0
te.Bits(0) -> dim must be a positive integer, got 0
te.Bits(-1) -> dim must be a positive integer, got -1
te.Bits(2.5) -> dim must be a positive integer, got 2.5
te.Bits(30).atoms() -> QuadratureError: 2^30 states are too many to list: at most 2^26, some minutes.
te.Spins(0) -> dim must be a positive integer, got 0
te.Cells(0) -> the number of states must be a positive integer, got 0
te.Cells(1.5) -> the number of states must be a positive integer, got 1.5
te.Cells(2, 0) -> dim must be a positive integer, got 0
te.Cells(3, 40).atoms() -> QuadratureError: 3^40 states are too many to list: at most 2^26, some minutes.
te.MLP((2,)) -> sizes must be positive integers (d, ..., 1), got (2,)
te.MLP((2, 8)) -> sizes must be positive integers (d, ..., 1), got (2, 8)
te.MLP((2, 8, 2)) -> sizes must be positive integers (d, ..., 1), got (2, 8, 2)
te.MLP((2, 0, 1)) -> sizes must be positive integers (d, ..., 1), got (2, 0, 1)
te.MLP((2, 8.5, 1)) -> sizes must be positive integers (d, ..., 1), got (2, 8.5, 1)
te.MLP(8) -> sizes must be positive integers (d, ..., 1), got 8
te.MLP("2,8,1") -> sizes must be positive integers (d, ..., 1), got '2,8,1'
te.MLP((2, 8, 1), "tanhh") -> activation must be one of tanh, silu, softplus, relu, got 'tanhh': did you mean
te.MLP((2, 8, 1), activation=np.tanh) -> activation must be one of tanh, silu, softplus, relu, got / tanh
te.MLP((2, 8, 1), confinement=-1) -> confinement must be finite and >= 0, got -1
te.MLP((2, 8, 1), confinement=np.nan) -> confinement must be finite and >= 0, got nan
te.MLP((2, 8, 1), confinement="1") -> confinement must be finite and >= 0, got '1'
te.MLP((2, 8, 1), gain=-1) -> gain must be finite and >= 0, got -1
te.GaussianEnergy(0) -> dim must be a positive integer, got 0
te.GaussianEnergy("2") -> dim must be a positive integer, got '2'
te.GaussianMixtureEnergy(0, 2) -> n must be a positive number of components, got 0
te.GaussianMixtureEnergy(2, 0) -> dim must be a positive integer, got 0
te.Funnel(0) -> dim must be a positive integer, got 0
te.Funnel(1.5) -> dim must be a positive integer, got 1.5
te.TabularEnergy(0) -> n must be a positive number of states, got 0
te.BoltzmannMachine(0) -> dim must be a positive integer, got 0
te.Ising(4) -> shape must be two positive integers (rows, cols), got 4
te.Ising((2, 0)) -> shape must be two positive integers (rows, cols), got (2, 0)
te.Ising((2, 2, 2)) -> shape must be two positive integers (rows, cols), got (2, 2, 2)
te.Ising(("2", 2)) -> shape must be two positive integers (rows, cols), got ('2', 2)
te.Potts(1, (2, 2)) -> q must be a number of values >= 2, got 1
te.Potts(2, 4) -> shape must be two positive integers (rows, cols), got 4
te.RBM(0, 2) -> visible must be a positive number of units, got 0
te.RBM(4, 0) -> hidden must be a positive number of units, got 0
te.RBM(4, 2.5) -> hidden must be a positive number of units, got 2.5
te.RBM("4", 2) -> visible must be a positive number of units, got '4'
te.GaussianBernoulliRBM(0, 2) -> visible must be a positive number of units, got 0
te.score(p, x[0]) -> x must have shape (n, 2), got (2,)
te.score(p, x[:, :1]) -> x must have shape (n, 2), got (6, 1)
te.score(p, [[0.0, 0.0], [1.0]]) -> x must have shape (n, 2), got list of object: an entry is no number, or rows differ in
te.score(p, (x > 0).astype(str)) -> x must have shape (n, 2), got ndarray of <U5: text is no number: convert it by x.astype
te.score(p, np.full((3, 2), 2**53 + 1)) -> x must have shape (n, 2), got ndarray of int64: double precision cannot hold all
te.score(p, None) -> x must have shape (n, 2), got NoneType
te.score(E(lambda t, x: x), x) -> an energy must return one number per row: shape (6,), got (6, 2)
te.score(E(lambda t, x: 3.0), x) -> an energy must return one number per row: shape (6,), got float
te.score(E(lambda t, x: None), x) -> an energy must return one number per row: shape (6,), got NoneType
te.score(E(lambda t, x: ops.sum(x)), x) -> an energy must return one number per row: shape (6,), got ()
te.score(te.Density(net, wrong, te.Reals(2)), x) -> theta does not belong to MLP: it holds 'W' of shape (1, 4), and 'W' of
te.score(te.Density(net, theta[:1], te.Reals(2)), x) -> theta does not belong to MLP: it is a list of 2 layers, got list of 1
te.score(te.Density(net, {"W": 1}, te.Reals(2)), x) -> theta does not belong to MLP: it is a list of 2 layers, got dict
te.score(te.Density(net, None, te.Reals(2)), x) -> theta does not belong to MLP: it is a list of 2 layers, got NoneType
te.score(te.Density("net", theta, te.Reals(2)), x) -> energy must be a function (theta, x) -> (n,), like te.MLP, got 'net'
te.score(te.Density(net, theta, "R2"), x) -> space must be a space, like te.Reals, te.Box or te.Bits, got 'R2'
te.score(te.Density(net, theta, te.Reals(3)), rng.standard_normal((3, 3))) -> the energy MLP is for x of dimension 2, the space
te.score(te.Density(net, theta, None), x) -> space must be a space, like te.Reals, te.Box or te.Bits, got None
te.laplacian(p, x[0]) -> x must have shape (n, 2), got (2,)
te.laplacian(p, "x") -> x must have shape (n, 2), got str
te.log_partition(p, rtol=0) -> rtol must be between 0 and 1, got 0
te.log_partition(p, rtol=2) -> rtol must be between 0 and 1, got 2
te.log_partition(p, rtol="x") -> rtol must be between 0 and 1, got 'x'
te.log_partition(p, rtol=np.nan) -> rtol must be between 0 and 1, got nan
te.log_partition(x) -> a Density, or a Target, is wanted: te.Density(energy, theta, space), got ndarray
te.entropy(five) -> quadrature is for dim <= 3: with 40 nodes per axis, dim 5 needs 1.0e+08 of
te.log_partition(open_net_5) -> DivergentPartitionError: Z is
te.log_partition(thirty) -> QuadratureError: 2^30
te.log_partition(te.Density(net, nantheta, te.Reals(2))) -> QuadratureError: the energy is nan at x = [-0.25, -0.25]
te.log_partition(E(lambda t, x: -ops.sum(x * x, axis=1))) -> QuadratureError: log p rises without end, still at x =
te.log_partition(E(lambda t, x: 0.0 * x[:, 0])) -> QuadratureError: the density does not decay along axis 0 towards -infinity:
te.log_partition(E(lambda t, x: x[:, 0] * np.nan, te.Box(0, 1, 2))) -> QuadratureError: the energy is nan at x =
te.log_partition(open_net) -> DivergentPartitionError: Z is
te.log_partition(normal(0.0, -1.0)) -> QuadratureErr
te.log_partition(te.Density(te.GaussianEnergy(2), {"mean": np.zeros(3), "precision": np.eye(3)}, te.Reals(2))) -> theta does
te.log_partition(te.Density(te.GaussianEnergy(2), {"mean": np.zeros(2)}, te.Reals(2))) -> theta does not belong to
te.log_partition(te.Density(te.RBM(4, 2), rbm.init(rng), te.Bits(5))) -> the energy RBM is for x of dimension 4, the space Bits
te.log_partition(table_on(te.Cells(4))) -> a table of 3 energies is for Cells,
te.log_partition(table_on(te.Reals(1))) -> the energy TabularEnergy(n=3) is for states: its space is Cells, not Reals
te.log_partition(te.Density(te.Ising((2, 2)), te.Ising((2, 2)).init(rng), te.Spins(5))) -> the energy Ising is for x of
te.log_prob(p, x[0]) -> x must have shape (n, 2), got (2,)
te.log_prob(p, x[:, :1]) -> x must have shape (n, 2), got (6, 1)
te.log_prob(p, "x") -> x must have shape (n, 2), got str
te.log_prob(p, x, log_z="big") -> log_z must be a number, the logarithm of Z
te.probabilities(normal(50.0, 1.0)) -> Quadratur
te.probabilities(five) -> exact answers need a grid, and a grid in dimension 5 would need about 40^5
te.probabilities(p, nodes=1) -> nodes must be an integer >= 2, or 2 of them, got 1
te.expectation(p, lambda x: 3.0) -> f must return one value per row, an array of real numbers of shape (512, ...), got
te.expectation(p, "f") -> f must be a function of states x (n, d), got 'f'
te.expectation(p, lambda x: x[:3]) -> f must return one value per row, an array of real numbers of shape (512, ...), got
te.expectation(p, lambda x: None) -> f must return one value per row, an array of real numbers of shape (512, ...), got
te.expectation(five, lambda x: x[:, 0]) -> quadrature is for dim <= 3: with 40 nodes per axis, dim 5 needs 1.0e+08 of
te.entropy(five) -> quadrature is for dim <= 3: with 40 nodes per axis, dim 5 needs 1.0e+08 of
te.entropy(p, rtol=-1) -> rtol must be between 0 and 1, got -1
te.sample(p, -1, rng) -> n must be a number of draws >= 0, got -1
te.sample(p, 2.5, rng) -> n must be a number of draws >= 0, got 2.5
te.sample(p, "3", rng) -> n must be a number of draws >= 0, got '3'
te.sample(p, 3, 0) -> rng must be a generator, like np.random.default_rng(0), got 0
te.sample(p, 3, None) -> rng must be a generator, like np.random.default_rng(0), got None
te.sample(p, 3, np.random) -> rng must be a generator, like np.random.default_rng(0), got
te.sample(five, 3, rng) -> quadrature is for dim <= 3: with 40 nodes per axis, dim 5 needs 1.0e+08 of
te.nll(p, x[0]) -> data must be an array of numbers, rows (n, d), n > 0, got ndarray of shape
te.nll(p, np.ma.masked_less(x, 0)) -> data must be an array of numbers, rows (n, d), n > 0, got a masked array with masked
te.nll(p, x[:0]) -> data must be an array of numbers, rows (n, d), n > 0, got ndarray of shape
te.nll(p, x[:, :1]) -> x must have shape (n, 2), got (6, 1)
te.nll(p, "two_moons") -> data must be an array of numbers, rows (n, d), n > 0, got str
te.nll(p, None) -> data must be an array of numbers, rows (n, d), n > 0, got NoneType
te.nll_gradient(p, x[:, :1]) -> x must have shape (n, 2), got (6, 1)
te.nll_gradient(p, nanx) -> data holds nan or inf: clean it first
te.nll_gradient(p, bits) -> x must have shape (n, 2), got (16, 4)
te.ULA(0) -> step_size must be positive and finite, got 0
te.ULA(-1) -> step_size must be positive and finite, got -1
te.ULA("0.1") -> step_size must be positive and finite, got '0.1'
te.ULA(np.nan) -> step_size must be positive and finite, got nan
te.ULA(np.inf) -> step_size must be positive and finite, got inf
te.ULA(None) -> step_size must be positive and finite, got None
te.ULA(0.1, temperature=-1) -> temperature must be finite and >= 0, got -1
te.ULA(0.1, temperature="hot") -> temperature must be finite and >= 0, got 'hot'
te.MALA(0) -> step_size must be positive and finite, got 0
te.MALA([0.1]) -> step_size must be positive and finite, got [0.1]
te.HMC(0, 5) -> step_size must be positive and finite, got 0
te.HMC(0.1, 0) -> steps must be a positive number of leapfrog steps, got 0
te.HMC(0.1, 2.5) -> steps must be a positive number of leapfrog steps, got 2.5
te.Gibbs("sistematic") -> scan must be one of systematic, random, coloured, got 'sistematic': did you mean
te.ULA(0.1).step(p, x[:, :1], rng) -> x must have shape (n, 2), got (6, 1)
te.ULA(0.1).step(p, x, 0) -> rng must be a generator, like np.random.default_rng(0), got 0
te.ULA(0.1).step(b, bits, rng) -> ULA moves by small steps, and Bits is discrete: use Gibbs or its relatives
te.MALA(0.1).step(b, bits, rng) -> MALA moves by small steps, and Bits is discrete: use Gibbs or its relatives
te.HMC(0.1, 3).step(b, bits, rng) -> HMC moves by small steps, and Bits is discrete: use Gibbs or its relatives
te.Gibbs().step(p, x, rng) -> Gibbs redraws sites with a few values each: Reals is not discrete
te.BlockGibbs().step(p, x, rng) -> BlockGibbs needs two layers of units, as in RBM (push: RBM alone), not MLP
te.BlockGibbs().step(b, bits[:, :2], rng) -> x must have shape (n, 4), got (16, 2)
te.GibbsWithGradients().step(p, x, rng) -> GibbsWithGradients flips sites with two values (Bits, Spins), not those of Reals
te.ULA(0.1).push(np.ones(7) / 7, p) -> 7 probabilities do not belong to atoms of Reals: use te.probabilities(p) or
te.ULA(0.1).push(np.ones((3, 3)), p) -> probabilities must have shape (N,), got (3, 3)
te.MALA(0.1).push(np.ones(7) / 7, q) -> QuadratureError: the atoms are 3.33 apart, too coarse for steps with noise of
te.Gibbs().push(np.ones(7) / 7, b) -> 7 probabilities do not belong to atoms of Bits: use te.probabilities(p) or
te.ULA(1e-9).push(te.probabilities(q), q) -> QuadratureError: the atoms are 0.0391 apart, too coarse for steps with noise of
te.run(ula, p, x, -1, rng) -> steps must be an integer >= 0, got -1
te.run(ula, p, x, 2.5, rng) -> steps must be an integer >= 0, got 2.5
te.run(ula, p, x, "3", rng) -> steps must be an integer >= 0, got '3'
te.run(ula, p, x, 3, rng, record=0) -> record must be a positive number of steps, got 0
te.run(ula, p, x, 3, 7) -> rng must be a generator, like np.random.default_rng(0), got 7
te.run(ula, p, x[0], 3, rng) -> x must have shape (n, 2), got (2,)
te.run(ula, p, x[:, :1], 3, rng) -> x must have shape (n, 2), got (6, 1)
te.run("ula", p, x, 3, rng) -> a kernel is an instance, like te.ULA(0.01), or a function of the step that
te.run(te.ULA, p, x, 3, rng) -> a kernel is an instance, like te.ULA(0.01), or a function of the step that
te.run(lambda i: None, p, x, 3, rng) -> the kernel of step 1 must be one, like te.ULA(0.01), got None
te.run(ula, p, nanx, 3, rng) -> some rows of x are nan or lie outside Reals, for example
te.run(ula, p, np.zeros((3, 2), "M8[s]"), 3, rng) -> x must have shape (n, 2), got ndarray of datetime64[s]: subtract an
te.run(ula, b, bits, 3, rng) -> ULA moves by small steps, and Bits is discrete: use Gibbs or its relatives
te.run(ula, te.Density(net, wrong, te.Reals(2)), x, 3, rng) -> theta does not belong to MLP: it holds 'W' of shape (1, 4), and
te.Chains(0) -> size must be a positive number of chains, got 0
te.Chains(2.5) -> size must be a positive number of chains, got 2.5
te.Chains(4, restart=2) -> restart must be a probability, got 2
te.Chains(4, restart="x") -> restart must be a probability, got 'x'
te.Chains(4).lend(np.zeros((4, 2)), 5, te.Reals(2), rng) -> a pool of 4 chains cannot lend 5: use chains >= the batch size
te.transition_matrix(p, ula) -> QuadratureError: a transition matrix of Reals would be 9216 x 9216; it is for
te.transition_matrix(five, ula) -> exact answers need a grid, and a grid in dimension 5 would need about 40^5
te.spectral_gap(b, ula) -> ULA moves by small steps, and Bits is discrete: use Gibbs or its relatives
te.spectral_gap(b, "gibbs") -> a kernel that can push distributions is wanted, like te.Gibbs or te.MALA(0.1), got
te.ContrastiveDivergence(ula, 0) -> k must be a positive number of kernel steps, got 0
te.ContrastiveDivergence(ula, 1.5) -> k must be a positive number of kernel steps, got 1.5
te.ContrastiveDivergence(ula, "1") -> k must be a positive number of kernel steps, got '1'
te.ContrastiveDivergence("ula", 1) -> a kernel is an instance, like te.ULA(0.01), or a function of the step that
te.ContrastiveDivergence(1) -> a kernel is an instance, like te.ULA(0.01), or a function of the step that
te.ContrastiveDivergence(te.ULA, 1) -> a kernel is an instance, like te.ULA(0.01), or a function of the step that
te.ContrastiveDivergence(ula, 1, alpha=-1) -> alpha must be finite and >= 0, got -1
te.ContrastiveDivergence(ula, 1, alpha="x") -> alpha must be finite and >= 0, got 'x'
te.PersistentContrastiveDivergence(ula, 1, chains=0) -> size must be a positive number of chains, got 0
te.PersistentContrastiveDivergence(ula, 1, restart=2) -> restart must be a probability, got 2
te.ShortRun(ula, 0) -> k must be a positive number of kernel steps, got 0
te.PerfectSamples(draws=0) -> draws must be a positive number of negatives, got 0
te.PerfectSamples(rtol=2) -> rtol must be between 0 and 1, got 2
te.ExactLikelihood(rtol=0) -> rtol must be between 0 and 1, got 0
te.ExactContrastiveDivergence(ula, 0) -> k must be a positive number of kernel steps, got 0
te.ScoreMatching().gradient(b, bits, rng) -> ScoreMatching matches slopes, and Bits has none: use Pseudolikelihood or
te.ScoreMatching().gradient(te.Density(te.MLP((2, 4, 1), "relu"), theta, te.Reals(2)), x, rng) -> ScoreMatching needs second
te.DenoisingScoreMatching(0) -> sigma must be positive and finite, got 0
te.DenoisingScoreMatching("x") -> sigma must be positive and finite, got 'x'
te.SlicedScoreMatching(0) -> projections must be a positive number of directions, got 0
te.SlicedScoreMatching("1") -> projections must be a positive number of directions, got '1'
te.NoiseContrastive(None) -> noise is a distribution to draw from, like te.Normal(mean, covariance), or a
te.NoiseContrastive(law, ratio=0) -> ratio must be a positive number of draws per datum, got 0
te.NoiseContrastive(law, rate=2) -> rate must be in (0, 1], got 2
te.NoiseContrastive(te.Uniform(unit)).gradient(q, np.zeros((3, 1)), rng) -> noise on Box does not reach all of Reals
te.NoiseContrastive(te.Normal(np.zeros(1), np.eye(1))).gradient(p, x, rng) -> noise on Reals does not reach all of Reals
te.Pseudolikelihood().gradient(p, x, rng) -> Pseudolikelihood sums over the values of a site: Reals is not discrete
te.RatioMatching().gradient(table, te.Cells(3).atoms()[0], rng) -> RatioMatching flips sites with two values (Bits, Spins)
cd.gradient(p, x[0], rng) -> x must have shape (n, 2), got (2,)
cd.gradient(p, x[:, :1], rng) -> x must have shape (n, 2), got (6, 1)
cd.gradient(p, x[:0], rng) -> a batch has one row at least, of floating-point numbers, got float64 of shape
cd.gradient(p, x, 0) -> rng must be a generator, like np.random.default_rng(0), got 0
te.ExactLikelihood().gradient(p, x[:, :1], rng) -> x must have shape (n, 2), got (6, 1)
te.ScoreMatching().gradient(p, x[:, :1], rng) -> x must have shape (n, 2), got (6, 1)
te.ScoreMatching().gradient(p, x[0], rng) -> x must have shape (n, 2), got (2,)
te.DenoisingScoreMatching(0.1).gradient(p, x[:0], rng) -> a batch has one row at least, of floating-point numbers, got float64
te.Pseudolikelihood().gradient(b, bits[:, :2], rng) -> x must have shape (n, 4), got (16, 2)
te.exact_cd_gradient(p, x, ula, 0) -> k must be a positive number of kernel steps, got 0
te.exact_cd_gradient(p, x[:, :1], ula, 1) -> x must have shape (n, 2), got (6, 1)
te.exact_cd_gradient(p, nanx, ula, 1) -> data holds nan or inf: clean it first
te.exact_cd_gradient(p, x, te.Gibbs(), 1) -> Gibbs has no spread / on Reals: use te.ULA or te.MALA
te.exact_cd_gradient(five, rng.standard_normal((3, 5)), ula, 1) -> exact answers need a grid, and a grid in dimension 5
te.exact_cd_gradient(p, x, te.ULA(1e-12), 1) -> QuadratureError: steps with noise of standard deviation 1.41e-06 need a grid of
te.exact_cd_gradient(q, np.ones(9), ula, 1) -> probabilities must sum to 1, got 9.0
te.exact_cd_gradient(b, np.ones(9) / 9, te.Gibbs(), 1) -> 9 probabilities do not belong to the 16 states of Bits
te.exact_cd_gradient(b, bits + 0.5, te.Gibbs(), 1) -> some rows of the data are no states of Bits
te.exact_cd_gradient(b, bits, ula, 1) -> ULA moves by small steps, and Bits is discrete: use Gibbs or its relatives
te.full_cd_gradient(p, x[:, :1], ula, 1) -> x must have shape (n, 2), got (6, 1)
te.neglected_term(p, x, te.MALA(0.1), 0) -> k must be a positive number of kernel steps, got 0
te.fit(net, x, objective=None, **quick) -> fit needs an objective, for example te.ContrastiveDivergence(te.ULA(0.01),
te.fit(net, x, objective=te.ContrastiveDivergence, **quick) -> fit needs an objective, for example
te.fit(net, x, objective="cd-1", **quick) -> fit needs an objective, for example te.ContrastiveDivergence(te.ULA(0.01),
te.fit(net, nanx, objective=cd, **quick) -> data holds nan or inf: clean it first
te.fit(net, x[:0], objective=cd, **quick) -> data must be an array of numbers, rows (n, d), n > 0, got ndarray of shape
te.fit(net, x[0], objective=cd, **quick) -> data must be an array of numbers, rows (n, d), n > 0, got ndarray of shape
te.fit(net, x.astype(str), objective=cd, **quick) -> data must be an array of numbers, rows (n, d), n > 0, got ndarray of <U
te.fit(net, x[0].tolist(), objective=cd, **quick) -> data must be an array of numbers, rows (n, d), n > 0, got ndarray of
te.fit(net, np.array([[1, None]]), objective=cd, **quick) -> data must be an array of numbers, rows (n, d), n > 0, got ndarray
te.fit(net, x.astype(complex), objective=cd, **quick) -> data must be an array of numbers, rows (n, d), n > 0, got ndarray
te.fit(net, None, objective=cd, **quick) -> data must be an array of numbers, rows (n, d), n > 0, got NoneType
te.fit(net, "two_moons", objective=cd, **quick) -> data must be an array of numbers, rows (n, d), n > 0, got str
te.fit(net, type("KDE", (), {"score_samples": 0})(), objective=cd, **quick) -> a population has sample(n, rng) -> (n, d) and a
te.kl(type("Frozen", (), {"rvs": 0, "logpdf": 0})(), p) -> a population has sample(n, rng) -> (n, d) and a normalised log_prob(x)
te.compare(type("Law", (), {"sample": lambda s, n: x, "log_prob": 0})()) -> a population has / sample(1, rng) failed
te.nll(p, type("Law", (), {"sample": lambda s, n, r: x[0], "log_prob": 0})()) -> a population has / has shape (2,), not (1, d)
te.mmd(x, type("L", (), {"sample": lambda s, n, r: x[:1], "log_prob": lambda s, x: -ops.sum(x * x, axis=1)})()) -> log_prob of
te.mle(te.MLP((5, 3, 1), confinement=1.0), five, progress=False) -> quadrature is for dim <= 3: with 40 nodes per axis, dim 5
te.fit(net, x[:, :1], objective=cd, **quick) -> the energy MLP is for x of dimension 2, the space Reals has 1
te.fit(net, x, te.Reals(3), cd, **quick) -> the data have 2 columns, the space Reals has dimension 3
te.fit(net, x, te.Box(0, 0.1, 2), cd, **quick) -> some data lie outside Box, for example
te.fit(net, x, "R2", cd, **quick) -> space must be a space, like te.Reals, te.Box or te.Bits, got 'R2'
te.fit("net", x, objective=cd, **quick) -> the energy 'net' cannot start by itself: it has no init(rng). Give theta=, or
te.fit(te.MLP, x, objective=cd, **quick) -> the energy / cannot start by itself: it has no init(rng). Give theta=, or an
te.fit(lambda theta, x: x[:, 0], x, objective=cd, **quick) -> the energy / cannot start by itself: it has no init(rng)
te.fit(net, x, objective=cd, optimizer="adam", **quick) -> optimizer must be one, like te.adam(1e-3), got 'adam'
te.fit(net, x, objective=cd, optimizer=te.adam, **quick) -> optimizer must be one, like te.adam(1e-3), got
te.fit(net, x, objective=cd, steps=-1, progress=False) -> steps must be an integer >= 0, got -1
te.fit(net, x, objective=cd, steps=2.5, progress=False) -> steps must be an integer >= 0, got 2.5
te.fit(net, x, objective=cd, steps="2", progress=False) -> steps must be an integer >= 0, got '2'
te.fit(net, x, objective=cd, batch_size=0, **quick) -> batch_size must be a positive integer, or None for all rows, got 0
te.fit(net, x, objective=cd, batch_size="8", **quick) -> batch_size must be a positive integer, or None for all rows, got '8'
te.fit(net, x, objective=cd, seed=-1, **quick) -> seed must be an integer >= 0, got -1
te.fit(net, x, objective=cd, seed="a", **quick) -> seed must be an integer >= 0, got 'a'
te.fit(net, x, objective=cd, seed=1.5, **quick) -> seed must be an integer >= 0, got 1.5
te.fit(net, x, objective=cd, theta=wrong, **quick) -> theta does not belong to MLP: it holds 'W' of shape (1, 4), and 'W' of
te.fit(net, x, objective=cd, theta=nantheta, **quick) -> theta holds nan or inf: nothing can start there
te.fit(net, x, objective=cd, theta=3, **quick) -> theta does not belong to MLP: it is a list of 2 layers, got ndarray
te.fit(net, x, objective=cd, theta=[], **quick) -> theta holds no parameters: there is nothing to fit
te.fit(net, x, objective=cd, device="tpu", **quick) -> device must be "cpu" or "gpu", got 'tpu'
te.fit(net, x, objective=cd, device="gpu", **quick) -> ImportError: device="gpu" needs CuPy: pip install "tinyebm[gpu]"
te.fit(net, x, objective=cd, dtype="float16", **quick) -> dtype must be one of float32, float64, got 'float16': did you mean
te.fit(net, x, objective=cd, dtype=int, **quick) -> dtype must be one of float32, float64, got / int
te.fit(net, x, objective=cd, callback=3, **quick) -> callback must be a function of (step, density, entry), got 3
te.fit(net, x, objective=cd, resume=True, **quick) -> resume=True needs the checkpoint= to resume from
te.fit(net, x, objective=cd, checkpoint=3, **quick) -> checkpoint must be a path, got 3
te.fit(net, x, objective=cd, alpha=-1, **quick) -> alpha must be finite and >= 0, got -1
te.fit(net, x, objective=cd, alpha="x", **quick) -> alpha must be finite and >= 0, got 'x'
te.fit(net, x, objective=te.ExactLikelihood(), alpha=1.0, **quick) -> alpha needs negative samples to act on: ExactLikelihood
te.fit(net, x, objective=cd, data_noise=-1, **quick) -> data_noise must be finite and >= 0, got -1
te.fit(net, x, objective=cd, data_noise="x", **quick) -> data_noise must be finite and >= 0, got 'x'
te.fit(rbm, bits, te.Bits(4), gibbs_cd, data_noise=0.1, **quick) -> data_noise moves data off
te.fit(net, x, objective=cd, clip=0, **quick) -> clip must be positive and finite, got 0
te.fit(net, x, objective=cd, clip="x", **quick) -> clip must be positive and finite, got 'x'
te.fit(net, x, objective=cd, ema=1, **quick) -> ema must be in [0, 1), got 1
te.fit(net, x, objective=cd, ema="x", **quick) -> ema must be in [0, 1), got 'x'
te.fit(net, x, objective=cd, log_every=0, **quick) -> log_every must be a positive number of steps, got 0
te.fit(net, x, objective=cd, log_every=-1, **quick) -> log_every must be a positive number of steps, got -1
te.fit(net, x, objective=cd, log_every=1.5, **quick) -> log_every must be a positive number of steps, got 1.5
te.fit(net, x, objective=cd, rollback=-1, **quick) -> rollback must be an integer >= 0, got -1
te.fit(net, x, objective=cd, rollback="x", **quick) -> rollback must be an integer >= 0, got 'x'
te.fit(rbm, bits + 0.5, te.Bits(4), gibbs_cd, **quick) -> some data lie outside Bits, for
te.fit(rbm, bits, te.Bits(4), cd, **quick) -> ULA moves by small steps, and Bits is discrete: use Gibbs or its relatives
te.fit(te.RBM(5, 2), bits, te.Bits(4), gibbs_cd, **quick) -> the energy RBM is for x of
te.mle(net, nanx) -> data holds nan or inf: clean it first
te.mle(net, x[:0]) -> data must be an array of numbers, rows (n, d), n > 0, got ndarray of shape
te.mle(net, x[:, :1]) -> the energy MLP is for x of dimension 2, the space Reals has 1
te.mle(net, x, te.Box(0, 0.1, 2)) -> some rows of the data lie outside Box
te.mle(net, x, gtol=0) -> gtol must be positive and finite, got 0
te.mle(net, x, gtol="x") -> gtol must be positive and finite, got 'x'
te.mle(net, x, max_steps=0) -> max_steps must be a positive number of iterations, got 0
te.mle(net, x, rtol=0) -> rtol must be between 0 and 1, got 0
te.mle(te.MLP((2, 4, 1)), x) -> DivergentPartitionError: Z is infinite: along the direction [1.0, -0.007] the
te.mle(te.MLP((5, 4, 1)), rng.standard_normal((9, 5))) -> DivergentPartitionError: Z is infinite: along the direction
te.mle(net, x, theta=wrong) -> theta does not belong to MLP: it holds 'W' of shape (1, 4), and 'W' of shape
te.mle(net, "x") -> data must be an array of numbers, rows (n, d), n > 0, got str
te.adam(0) -> learning_rate must be positive and finite, got 0
te.adam("fast") -> learning_rate must be positive and finite, got 'fast'
te.adam(0.1, decay1=1) -> decay1 must be in [0, 1), got 1
te.adam(0.1, epsilon=-1) -> epsilon must be finite and >= 0, got -1
te.sgd(-1) -> learning_rate must be positive and finite, got -1
te.momentum(0.1, 1) -> decay must be in [0, 1), got 1
te.kl(p, q) -> p lives on Reals and q on Reals: states of different dimension are not compared
te.kl(p, b) -> p lives on Reals and q on Bits: states of different dimension are not compared
te.kl(p, x) -> a Density, or a Target, is wanted: te.Density(energy, theta, space), got ndarray
te.score(None, x) -> a Density, or a Target, is wanted
te.entropy(None) -> a Density, or a Target, is wanted
te.sample(law, 3, rng) -> a Density, or a Target, is wanted
te.run(ula, None, x, 3, rng) -> a Density, or a Target, is wanted
te.probabilities(None) -> a Density, or a Target, is wanted
te.probabilities(p, nodes=10**5) -> QuadratureError: 100000 x 100000 nodes are 1.0e+10 atoms
te.probabilities(E(lambda t, x: x[:, 0] * 0 + np.inf, te.Bits(2))) -> QuadratureError: the energy is nan or -inf at some atom
te.expectation(p, lambda x: x[:, 0] * np.nan) -> f is nan where p is not 0
te.expectation(p, lambda x: x[:, 0] * 1j) -> f must return one value per row, an array of real numbers
te.score(E(lambda t, x: x[:, 0] * 1j), x) -> TypeError: derivatives are those of real numbers, and a complex one was met
te.log_prob(p, x.astype(complex)) -> x must have shape (n, 2), got ndarray of complex128: give real and imaginary parts
te.laplacian(te.Density(te.MLP((2, 4, 1), "relu"), theta, te.Reals(2)), x) -> there is no Laplacian of MLP
te.laplacian(b, bits) -> there is no Laplacian of RBM
te.log_partition(b, rtol=0) -> rtol must be between 0 and 1, got 0
te.log_partition(p, max_nodes=0) -> max_nodes must be a positive number of nodes, got 0
te.nll_gradient(b, bits, "x") -> rtol must be between 0 and 1, got 'x'
te.spectral_gap(q, te.ULA(10.0)) -> QuadratureError: the steps take a mass of / off the grid
te.transition_matrix(b, te.Gibbs) -> a kernel that can push distributions is wanted
te.exact_cd_gradient(q, x[:, :1] * 0 + 0.1, ula, 1, nodes="x") -> nodes must be an integer >= 2, or 1 of them, got 'x'
te.exact_cd_gradient(b, bits, te.Gibbs(), 1, nodes=7) -> a site of Bits / has 2 values, not 7
te.exact_cd_gradient(b, np.r_[2.0, -1.0, np.zeros(14)], te.Gibbs(), 1) -> probabilities must not be negative, got -1.0
te.exact_cd_gradient(te.Density(net, theta, te.Box(0, 1, 2)), x, ula, 1) -> some of the data lie outside Box
te.exact_cd_gradient(p, x, te.ULA(0.1, temperature=0), 1) -> QuadratureError: without noise (temperature 0)
te.ExactContrastiveDivergence("x", 1) -> a kernel that can push distributions is wanted
te.Pseudolikelihood().gradient(b, bits + 0.5, rng) -> some rows of x are no states of Bits
te.ShortRun(ula, 2).gradient(p, x, 0) -> rng must be a generator
te.DenoisingScoreMatching(0.1).gradient(p, x, 0) -> rng must be a generator
law.log_prob(x[:, :1]) -> x must have shape (n, 2), got (6, 1)
law.sample(-1, rng) -> n must be a number of draws >= 0, got -1
te.Uniform(te.Bits(2)).log_prob(bits) -> x must have shape (n, 2), got (16, 4)
te.Box(0, 1, 1, panels=10**9).atoms() -> panels must be an integer from 1 to 1000
te.grad(lambda a: "x")(np.ones(2)) -> TypeError: the function must return one array, and returned a str
te.hvp(lambda a: ops.sum(a["u"]), {"u": np.ones(2)}, {"w": np.ones(2)}) -> v must be a tree of the same structure as x
te.fit(net, x, objective=cd, optimizer=te.adam(lambda s: -1), **quick) -> the learning rate of step 0 must be finite and >= 0
te.fit(net, x, objective=cd, checkpoint="folder.csv", **quick) -> checkpoint must be a file, and folder.csv is a folder
te.fit(net, x, objective=cd, checkpoint="", **quick) -> checkpoint must be a path, got ''
te.mle(lambda t, x: ops.sum(x * x, axis=1), x, theta={}, progress=False) -> theta holds no parameters
te.ais(p, 8, rng, base="x") -> a law to draw from is wanted
te.ais(p, 8, rng, kernel=te.HMC) -> weights are right only if every kernel leaves its density invariant
te.ais(p, 8, rng, temperatures=[[0, 1], [0, 1]]) -> temperatures is a positive number of steps
te.reverse_ais(p, x[0], rng) -> x must have shape (n, 2), got (2,)
te.run(lambda i: te.ULA, p, x, 3, rng) -> the kernel of step 1 must be one, like te.ULA(0.01), got / ULA
te.run(te.MALA(0.1), p, x[:0], 3, rng) -> x must have one row at least, got 0
te.compare(moons, steps=2, ema=np.nan, methods=["cd-1"], progress=False) -> ema must be in [0, 1), got nan
te.compare(moons, steps=2, kernel="x", methods=["sm"], progress=False) -> a kernel is an instance
te.compare(moons, methods=3) -> methods is a list of names
te.sweep(lambda seed: 0, None, 2) -> a grid is a dict of lists or a list of dicts
te.sweep(lambda seed: 0, {}, 2, seed=None) -> seed must be an integer >= 0, got None
te.kl(p, p, rtol=0) -> rtol must be between 0 and 1, got 0
te.kl(five, five) -> quadrature is for dim <= 3: with 40 nodes per axis, dim 5 needs 1.0e+08 of
te.total_variation(p, q) -> p lives on Reals and q on Reals: states of different dimension are not compared
te.total_variation(p, p, rtol=2) -> rtol must be between 0 and 1, got 2
te.fisher_divergence(b, b) -> the Fisher divergence compares slopes, and Bits has none
te.fisher_divergence(p, q) -> p lives on Reals and q on Reals: states of different dimension are not compared
te.mmd(x, x[:, :1]) -> x has 2 columns, y has 1
te.mmd(x, nanx) -> data holds nan or inf: clean it first
te.mmd(x[:1], x) -> a sample needs two rows at least: with one there are no pairs
te.mmd(x, x, bandwidth=0) -> bandwidth must be positive and finite, got 0
te.mmd(x, x, bandwidth="x") -> bandwidth must be positive and finite, got 'x'
te.effective_sample_size(x[0]) -> chains are numbers of shape (draws, m, d) as `run` records them, or (m,
te.effective_sample_size(nanx) -> the chains hold nan or inf
te.effective_sample_size(np.zeros((2, 3))) -> at least 8 draws of one chain are needed, got 3 of 2
te.effective_sample_size("x") -> chains are numbers of shape (draws, m, d) as `run` records them, or (m,
te.split_rhat(np.zeros((2, 3))) -> at least 8 draws of one chain are needed, got 3 of 2
te.split_rhat(np.zeros((2, 3, 4, 5))) -> chains are numbers of shape (draws, m, d) as `run` records them, or (m,
te.autocorrelation(np.zeros((2, 3))) -> at least 8 draws of one chain are needed, got 3 of 2
te.ais(p, 1, rng) -> at least 2 chains are needed to see a spread of weights, got 1
te.ais(p, 8, rng, temperatures=0) -> temperatures is a positive number of steps, or β increasing from 0 to 1, got 0
te.ais(p, 8, rng, temperatures=np.array([0.0, 0.5])) -> temperatures is a positive number of steps, or β increasing from 0 to
te.ais(p, 8, rng, temperatures="x") -> temperatures is a positive number of steps, or β increasing from 0 to 1, got 'x'
te.ais(p, 8, rng, base=te.Normal(np.zeros(1), np.eye(1))) -> the base lives on Reals, the density on Reals: annealing needs one
te.ais(p, 8, rng, kernel="mala") -> weights are right only if every kernel leaves its density invariant: 'mala'
te.ais(p, 8, 0) -> rng must be a generator, like np.random.default_rng(0), got 0
te.reverse_ais(p, x[:, :1], rng) -> x must have shape (n, 2), got (6, 1)
te.auroc(x, x) -> scores_in is an array (n,), n > 0, without nan, got shape (6, 2)
te.auroc(nanx[:, 1], x[:, 1]) -> scores_in is an array (n,), n > 0, without nan, got shape (6,)
te.auroc(x[:0, 0], x[:, 0]) -> scores_in is an array (n,), n > 0, without nan, got shape (0,)
te.auroc("x", "y") -> scores_in is an array (n,), n > 0, without nan, got str
te.Normal(np.zeros(2), np.eye(3)) -> a mean of 2 numbers has the shape (2,) and needs a covariance of shape (2, 2),
te.Normal(np.zeros(2), -np.eye(2)) -> a mean is finite, and a covariance symmetric and positive definite: these are
te.Normal(np.zeros(2), np.array([[1.0, 5.0], [0.0, 1.0]])) -> a mean is finite, and a covariance symmetric and positive
te.Normal(np.array([np.nan]), np.eye(1)) -> a mean is finite, and a covariance symmetric and positive definite: these are
te.Uniform(te.Reals(2)) -> there is no uniform law on Reals: take a Normal
te.Uniform("box") -> space must be a space, like te.Reals, te.Box or te.Bits, got 'box'
te.Independent(te.Bits(2), np.ones((2, 2))) -> probabilities have shape (2, 2), are positive and sum to 1 in every row: these
te.Independent(te.Bits(2), [[0.5, 0.5], [0.5, 0.5]]) -> probabilities have shape (2, 2), are positive and sum to 1 in every
te.Independent(te.Reals(2), np.ones((2, 2)) / 2) -> independent sites are for Bits, Spins or Cells, and Reals is not discrete
te.datasets.load("two_mons") -> unknown data set 'two_mons': did you mean 'two_moons'? The names are two_moons,
te.datasets.load("Two_Moons") -> unknown data set 'Two_Moons': did you mean 'two_moons'? The names are
te.datasets.load("") -> unknown data set '': The names are two_moons, eight_gaussians, circles, rings,
te.datasets.load(3) -> a data set has a name, like 'two_moons', or a path, got 3
te.datasets.load(None) -> a data set has a name, like 'two_moons', or a path, got None
te.datasets.load("nowhere.csv") -> cannot read nowhere.csv: [Errno 2] No such file or directory: 'nowhere.csv'
te.datasets.bars_and_stripes(0) -> side must be an integer from 1 to 5, got 0: 2^(side²) states are listed
moons.sample(-1, rng) -> n must be a number of draws >= 0, got -1
moons.sample(2.5, rng) -> n must be a number of draws >= 0, got 2.5
moons.sample(3, 0) -> rng must be a generator, like np.random.default_rng(0), got 0
moons.log_prob(x[0]) -> x must have shape (n, 2), got (2,)
moons.log_prob(x[:, :1]) -> x must have shape (n, 2), got (6, 1)
te.compare("two_mons", steps=2) -> unknown data set 'two_mons': did you mean 'two_moons'? The names are two_moons,
te.compare(moons, methods="cd-1", steps=2, progress=False) -> methods is a list of names, like ['mle', 'cd-10'], none twice
te.compare(moons, methods=["cd1"], steps=2, progress=False) -> unknown method 'cd1': did you mean 'cd-1'? the methods are mle,
te.compare(moons, methods=[], steps=2, progress=False) -> methods is a list of names, like ['mle', 'cd-10'], none twice, got []
te.compare(moons, methods=["mle", "mle"], steps=2, progress=False) -> methods is a list of names, like ['mle', 'cd-10'], none
te.compare(moons, methods=["sm", "pl"], steps=2, progress=False) -> Pseudolikelihood sums over the values of a site: Reals is
te.compare(moons, steps=0, progress=False) -> steps must be a positive number of updates, got 0
te.compare(moons, steps=2, hidden=(0,), progress=False) -> sizes must be positive integers (d, ..., 1), got (2, 0, 1)
te.compare(moons, steps=2, hidden=8, progress=False) -> hidden is a tuple of widths, like (64, 64), got 8
te.compare(moons, steps=2, activation="gelu", progress=False) -> activation must be one of tanh, silu, softplus, relu, got
te.compare(moons, steps=2, energy="rbm", progress=False) -> the energy 'rbm' is for bits, and the data live on Reals: use mlp
te.compare(moons, steps=2, space="bits", progress=False) -> space must be a space, like te.Reals, te.Box or te.Bits, got 'bits'
te.Density(te.RBM(4, 2), None, te.Reals(4)) -> the energy RBM is for states: its space is Bits or Spins, not Reals
te.Density(te.Ising((2, 2)), None, te.Box(-1, 1, 4)) -> the energy Ising is for states: its space is Spins, not Box
te.fit(rbm, bits + 0.5, objective=gibbs_cd, **quick) -> the energy RBM is for Bits or Spins, and not all rows of the data are
te.mle(rbm, bits[-1:], progress=False) -> the data may be states of Bits or Spins: give space=
te.mle(rbm, bits, te.Reals(4), progress=False) -> the energy RBM is for states: its space is Bits or Spins, not Reals
te.datasets.load("two_moons", space="bits") -> space is for tables of one's own: two_moons has one
te.datasets.load("four.csv", space="bytes") -> space must be one of reals, bits, spins, got 'bytes'
te.datasets.load("four.csv", space="bits") -> four: row 1 is [1.0, 2.0, 3.0, 4.0], no state of Bits
te.datasets.load("years.csv") -> years.csv, line 1: 2019, 2020 may be names of columns, or a row of numbers: say which by header
te.compare(moons, steps=2, energy="transformer", progress=False) -> unknown energy 'transformer': the names are mlp, rbm,
te.compare(moons, steps=2, learning_rate=-1, progress=False) -> learning_rate must be positive and finite, got -1
te.compare(moons, steps=2, batch_size=0, progress=False) -> batch_size must be a positive integer, or None for all rows, got 0
te.compare(moons, steps=2, step_size=0, progress=False) -> step_size must be positive and finite, got 0
te.compare(moons, steps=2, seconds=-1, progress=False) -> seconds must be positive and finite, got -1
te.compare(rng.standard_normal((9, 4)), steps=2, progress=False) -> data has 4 columns: exact answers need quadrature, which is
te.compare(x[:1], steps=2, progress=False) -> data: 1 rows are too few to hold some out
te.compare(nanx, steps=2, progress=False) -> data holds nan or inf: clean it first
te.compare(moons, steps=2, seed=-1, progress=False) -> seed must be an integer >= 0, got -1
te.sweep(3, {}, 2) -> run must be a function of a seed and the settings of a point, got 3
te.sweep(lambda seed: 0, {"a": 3}, 2) -> grid['a'] is a list of values, like [3], not 3
te.sweep(lambda seed: 0, {"a": []}, 2) -> a grid is a dict of lists or a list of dicts, none of them empty, got []
te.sweep(lambda seed: 0, {}, 0) -> seeds is a positive number of runs, or their numbers, all different and >= 0,
te.sweep(lambda seed: 0, {}, "x") -> seeds is a positive number of runs, or their numbers, all different and >= 0,
te.sweep(lambda seed: 0, {}, [1, 1]) -> seeds is a positive number of runs, or their numbers, all different and >= 0,
te.sweep(lambda seed: 0, {}, 2, executor=3) -> an executor has a method map, like concurrent.futures.ProcessPoolExecutor: 3
te.replicate(0) -> seeds is a positive number of runs, or their numbers, all different and >= 0,
te.replicate(2, target="two_mons") -> unknown data set 'two_mons': did you mean 'two_moons'? The names are two_moons,
te.replicate(2, methods=["x"], target="bimodal", steps=2) -> unknown method 'x': the methods are mle, perfect, cd-K, pcd-K, short-K
te.Recipe(0, 0.1) -> step_size must be positive and finite, got 0
te.Recipe(0.1, -1) -> noise must be finite and >= 0, got -1
te.Recipe(0.1, 0.1, clip=0) -> clip must be positive and finite, got 0
te.Recipe(0.1, 0.1, clamp=(1, 0)) -> clamp is a pair (low, high) with low < high, got (1, 0)
te.Recipe(0.1, 0.1, clamp=3) -> clamp is a pair (low, high) with low < high, got 3
te.Recipe(0.1, 0.1).step(b, bits, rng) -> Recipe moves by small steps, and Bits / is discrete
te.spectrum(q, te.MALA(1e-9)) -> QuadratureError: the atoms are 0.0391 apart, too coarse
te.replicate("x") -> seeds is a positive number of runs, or their numbers, all different and >= 0, got 'x'
te.Target("mine", te.Reals(1), 3, lambda n, rng: 0, 1, None) -> log_joint must be a function, got 3
te.save_model("mine.npz", 3) -> only energies and spaces of tinyebm can be saved, in a Density, not int
te.save_model("mine.npz", te.Density(lambda theta, x: x[:, 0], {}, te.Reals(1))) -> only energies and spaces of tinyebm can be
te.load_model("text.npz") -> text.npz is not a tinyebm checkpoint or model
te.load_model("run.npz") -> run.npz is a checkpoint of a run, not a model
te.datasets.load("words.csv") -> words.csv, line 3, column 2: 'x' is not a finite number
te.datasets.load("ragged.csv") -> ragged.csv, line 3: 1 entries, but the first has 2
te.datasets.load("extra.csv") -> extra.csv, line 2: 3 entries, but the first has 2
te.datasets.load("empty.csv") -> empty.csv: there are no rows of numbers
te.datasets.load("header.csv") -> header.csv: there are no rows of numbers
te.datasets.load("nan.csv") -> nan.csv, line 2, column 1: 'nan' is not a finite number
te.datasets.load("constant.csv") -> constant, column 2 (column 2): the standard deviation is 0, nothing / is it constant?
te.datasets.load("folder.csv") -> cannot read folder.csv / directory
te.datasets.load("null.npy") -> cannot read null.npy
te.datasets.load("objects.npy") -> cannot read objects.npy / allow_pickle
te.datasets.load("cube.npy") -> cube.npy: wanted a table of real numbers, got float64 of shape (2, 2, 2)
te.datasets.load("inf.npy") -> inf.npy, row 1, column 2: inf is not a finite number
te.datasets.load("table.xlsx") -> unknown data set 'table.xlsx' / or give a path ending in .csv or .npy
te.compare("four.csv", steps=2) -> four has 4 columns: exact answers need quadrature, which is for dim <= 3
te.fit(net, x, objective=cd, checkpoint="text.npz", resume=True, **quick) -> text.npz is not a tinyebm checkpoint or model
te.fit(net, x, objective=cd, checkpoint="cut.npz", resume=True, **quick) -> cut.npz is truncated or damaged
te.fit(net, x, objective=cd, checkpoint="flipped.npz", resume=True, **quick) -> flipped.npz is damaged
te.fit(net, x, objective=cd, checkpoint="run.npz", resume=True, seed=1, **quick) -> run.npz belongs to another run: its seed is 0
te.fit(net, x + 1, objective=cd, checkpoint="run.npz", resume=True, **quick) -> run.npz belongs to another run: its data is
te.fit(net, x, objective=gibbs_cd, checkpoint="run.npz", resume=True, **quick) -> run.npz belongs to another run: its objective
"""
