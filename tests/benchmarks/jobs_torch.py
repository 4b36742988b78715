"""PyTorch eager and compiled, and the two packages of energy-based models that stand on it."""

import os

import problems as pb
import torch
from torch import nn

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


class Net(nn.Module):
    """The energy, (n,)."""

    def __init__(self, sizes, dtype):
        super().__init__()
        layers = []
        for W, b in pb.weights(sizes, dtype):
            layer = nn.Linear(*W.shape, dtype=getattr(torch, dtype))
            with torch.no_grad():
                layer.weight.copy_(torch.tensor(W.T))
                layer.bias.copy_(torch.tensor(b))
            layers += [layer, nn.SiLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x):
        return self.layers(x).squeeze(-1)


def points(n, sizes, dtype="float32"):
    return [torch.tensor(a) for a in pb.points(n, sizes[0], dtype)]


def slope(net, x, **options):
    return torch.autograd.grad(net(x).sum(), x, **options)[0]


def flat(net, gradients):
    """Gradients (W transposed, b) by layer as (in, out), (out,); a missing one is zero."""
    gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(net.parameters(), gradients, strict=True)]
    return [g.detach().numpy().T if g.ndim == 2 else g.detach().numpy() for g in gradients]


def step_of(net, compiled):
    if compiled:
        slope_of = torch.func.grad(lambda x: net(x).sum())
        step = torch.compile(lambda x: x - pb.STEP * slope_of(x) + pb.NOISE * torch.randn_like(x), dynamic=False)
        return torch.no_grad()(step)

    def step(x):
        x = x.detach().requires_grad_(True)
        return x.detach() - pb.STEP * slope(net, x) + pb.NOISE * torch.randn_like(x)

    return step


def langevin(net, chains, compiled=False):
    torch._dynamo.reset()
    sizes = pb.NETS[net]
    net, (x0, _) = Net(sizes, "float32").requires_grad_(False), points(chains, sizes)
    step = step_of(net, compiled)

    def call():
        x = x0
        for _ in range(pb.STEPS):
            x = step(x)

    return call, lambda: [-slope(net, x0[:100].clone().requires_grad_(True))]


def contrastive(net, updates=10, compiled=False):
    torch._dynamo.reset()
    sizes = pb.NETS[net]
    net, (x, y0) = Net(sizes, "float32"), points(pb.BATCH, sizes)
    optimizer, step = torch.optim.Adam(net.parameters(), 1e-3, fused=True), step_of(net, compiled)
    loss = lambda y: net(x).mean() - net(y).mean()
    loss = torch.compile(loss, dynamic=False) if compiled else loss
    first = flat(net, torch.autograd.grad(net(x).mean() - net(y0).mean(), list(net.parameters())))

    def call():
        for _ in range(updates):
            net.requires_grad_(False)
            y = x
            for _ in range(pb.CD_STEPS):
                y = step(y)
            net.requires_grad_(True)
            optimizer.zero_grad(set_to_none=True)
            loss(y).backward()
            optimizer.step()

    return call, lambda: first


def likelihood(net, compiled=False):
    torch._dynamo.reset()
    sizes = pb.NETS[net]
    net, (x, _), (states, log_w) = Net(sizes, "float64"), points(pb.BATCH, sizes, "float64"), map(torch.tensor, pb.grid())
    both = lambda: (lambda z: (z, net(x).mean() + z))(torch.logsumexp(log_w - net(states), 0))
    both = torch.compile(both, dynamic=False) if compiled else both

    def gradient():
        z, loss = both()
        return [z.detach().numpy(), *flat(net, torch.autograd.grad(loss, list(net.parameters())))]

    return gradient, gradient


def score_matching(net, exact):
    sizes = pb.NETS[net]
    net, (x, z) = Net(sizes, "float32"), points(pb.SCORE_BATCH, sizes)

    def gradient(z):
        y = (x if exact else x + pb.SIGMA * z).detach().requires_grad_(True)
        g = slope(net, y, create_graph=True)
        if exact:
            trace = sum(torch.autograd.grad(g[:, i].sum(), y, create_graph=True)[0][:, i] for i in range(sizes[0]))
            loss = (0.5 * (g**2).sum(1) - trace).mean()
        else:
            loss = (0.5 * ((g - z / pb.SIGMA) ** 2).sum(1)).mean()
        return flat(net, torch.autograd.grad(loss, list(net.parameters()), allow_unused=True))

    return lambda: gradient(None if exact else torch.randn_like(x)), lambda: gradient(z)


def denoising_compiled(net, exact):
    torch._dynamo.reset()
    sizes = pb.NETS[net]
    net, (x, z) = Net(sizes, "float32"), points(pb.SCORE_BATCH, sizes)
    theta = {name: p.detach() for name, p in net.named_parameters()}

    def loss(theta, z):
        slope_of = torch.func.grad(lambda y: torch.func.functional_call(net, theta, (y,)).sum())
        return (0.5 * ((slope_of(x + pb.SIGMA * z) - z / pb.SIGMA) ** 2).sum(1)).mean()

    run = torch.compile(torch.func.grad(loss), dynamic=False)
    return lambda: run(theta, torch.randn_like(x)), lambda: flat(net, [run(theta, z)[name] for name in theta])


def boltzmann():
    W, b = (torch.tensor(a, requires_grad=True) for a in pb.couplings())
    x = torch.tensor(pb.states())

    def gradient():
        z = torch.logsumexp(0.5 * ((x @ W) * x).sum(1) + x @ b, 0)
        return [z.detach().numpy(), -torch.autograd.grad(z, (W, b))[1].numpy()]

    return gradient, gradient


def bits_net():
    net, x = Net((pb.BITS, 64, 64, 1), "float64"), torch.tensor(pb.states())

    def gradient():
        z = torch.logsumexp(-net(x), 0)
        return [z.detach().numpy(), *[-g for g in flat(net, torch.autograd.grad(z, list(net.parameters())))]]

    return gradient, gradient


def annealing():
    """AIS from N(0, I) by MALA, as `te.ais` does it."""
    net, eps = Net((2, 64, 64, 1), "float64").requires_grad_(False), 0.1
    betas = torch.linspace(0, 1, pb.TEMPERATURES + 1, dtype=torch.float64) ** 2

    def both(x, beta):
        x = x.detach().requires_grad_(True)
        energies = net(x)
        u = -0.5 * (x * x).sum(1) - beta * energies
        return u.detach(), torch.autograd.grad(u.sum(), x)[0], energies.detach()

    def call():
        x, log_w = torch.randn(pb.BATCH, 2, dtype=torch.float64), torch.zeros(pb.BATCH, dtype=torch.float64)
        for before, beta in zip(betas[:-1], betas[1:], strict=True):
            u, s, energies = both(x, beta)
            log_w -= (beta - before) * energies
            y = x + eps * s + (2 * eps) ** 0.5 * torch.randn_like(x)
            u_y, s_y, _ = both(y, beta)
            forward, backward = ((y - x - eps * s) ** 2).sum(1), ((x - y - eps * s_y) ** 2).sum(1)
            accepted = torch.log(torch.rand_like(u)) < u_y - u + (forward - backward) / (4 * eps)
            x = torch.where(accepted[:, None], y, x)
        return torch.logsumexp(log_w, 0)

    return call, lambda: []


# ------------------------------------------------------------------------ ebmkit and torchebm


def ebmkit_langevin(net, chains):
    import ebm

    net, (x, _) = Net(pb.NETS[net], "float32"), points(chains, pb.NETS[net])
    sampler = ebm.LangevinDynamics(step_size=pb.STEP, steps=pb.STEPS, noise_scale=pb.NOISE)
    return lambda: sampler.sample(net, x), lambda: []


def ebmkit_contrastive(net, updates=10):
    import ebm

    sizes = pb.NETS[net]
    net, (x, _) = Net(sizes, "float32"), points(pb.BATCH, sizes)
    sampler = ebm.LangevinDynamics(step_size=pb.STEP, steps=pb.CD_STEPS, noise_scale=pb.NOISE)
    loss = ebm.ContrastiveDivergence(sampler, ebm.ReplayBuffer(10000, (sizes[0],)))
    return training(net, updates, lambda: loss(net, x).loss)


def ebmkit_score_matching(net, exact):
    import ebm

    net, (x, _) = Net(pb.NETS[net], "float32"), points(pb.SCORE_BATCH, pb.NETS[net])
    loss = ebm.ExactScoreMatching() if exact else ebm.DenoisingScoreMatching(pb.SIGMA)
    return descending(net, lambda: loss(net, x).loss)


def torchebm_model(net):
    from torchebm.core import BaseModel

    class Model(BaseModel):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x)

    return Model()


def torchebm_langevin(net, chains):
    from torchebm.samplers import LangevinDynamics

    net, (x, _) = Net(pb.NETS[net], "float32").requires_grad_(False), points(chains, pb.NETS[net])
    sampler = LangevinDynamics(torchebm_model(net), step_size=pb.STEP, noise_scale=1.0)
    return lambda: sampler.sample(x=x, n_steps=pb.STEPS), lambda: []


def torchebm_contrastive(net, updates=10):
    from torchebm.losses import ContrastiveDivergence
    from torchebm.samplers import LangevinDynamics

    net, (x, _) = Net(pb.NETS[net], "float32"), points(pb.BATCH, pb.NETS[net])
    model = torchebm_model(net)
    loss = ContrastiveDivergence(model, LangevinDynamics(model, step_size=pb.STEP, noise_scale=1.0), k_steps=pb.CD_STEPS,
                                 persistent=True, buffer_size=10000, init_steps=0, energy_reg_weight=0.0)
    return training(net, updates, lambda: loss(x)[0])


def torchebm_score_matching(net, exact):
    from torchebm import losses

    net, (x, _) = Net(pb.NETS[net], "float32"), points(pb.SCORE_BATCH, pb.NETS[net])
    model = torchebm_model(net)
    loss = (losses.ScoreMatching(model, hessian_method="exact") if exact
            else losses.DenoisingScoreMatching(model, noise_scale=pb.SIGMA))
    return descending(net, lambda: loss(x))


def training(net, updates, loss):
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)

    def call():
        for _ in range(updates):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()

    return call, lambda: []


def descending(net, loss):
    def call():
        net.zero_grad()
        loss().backward()

    return call, lambda: []


JOBS = {
    "annealing": annealing, "langevin": langevin, "langevin_compiled": lambda net, chains: langevin(net, chains, True),
    "contrastive": contrastive, "contrastive_compiled": lambda net: contrastive(net, compiled=True),
    "likelihood": likelihood, "likelihood_compiled": lambda net: likelihood(net, True),
    "score_matching": score_matching, "score_matching_compiled": denoising_compiled, "boltzmann": boltzmann, "bits_net": bits_net,
    "ebmkit_langevin": ebmkit_langevin, "ebmkit_contrastive": ebmkit_contrastive, "ebmkit_score_matching": ebmkit_score_matching,
    "torchebm_langevin": torchebm_langevin, "torchebm_contrastive": torchebm_contrastive,
    "torchebm_score_matching": torchebm_score_matching,
}
