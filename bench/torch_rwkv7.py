#!/usr/bin/python3
"""Training speed of RWKV-7 as a plain PyTorch CPU program, to compare train_bench with.

Two forms of the recurrence: "loop", a loop over time on whole batches of heads, as one writes it first; and "chunked", which
does the steps within a chunk as products of matrices, all chunks at once, so that the loop that is left has one product a
chunk. Autograd does the rest. float32, or bf16 by autocast (the recurrence stays float32: its sums need it). Same shape, same
optimizer, same batch as train_bench; needs Debian's python3-torch, and libopenblas0-pthread for a fair comparison: without it
float32 products go to the reference BLAS, several times slower. The report names the library that was loaded.

    python3 bench/torch_rwkv7.py [--layers 4] [--width 256] [--vocab 256] [--ctx 512] [--batch 4] [--rounds 3]
                                 [--form chunked|loop|all] [--precision fp32|bf16|all] [--chunk 16] [--check]

The chunked form. With decays d_t, P_t = d_1 ... d_t within the chunk (elementwise), the removed value u_t = S_{t-1} a_t and

    A~_t = a_t P_{t-1}    R~_t = r_t P_t    B^_t = b_t / P_t    K^_t = k_t / P_t      (d >= exp(-0.61): 16 steps are safe)

rows of matrices for the steps, and S the state before the chunk,

    U = A~ S' + tril(A~ B^', -1) U + tril(A~ K^', -1) V             a triangular system, T = (1 - tril(A~ B^', -1))^-1
    Y = R~ S' + tril(R~ B^') U + tril(R~ K^') V                     S_next = (S + U' B^ + V' K^) diag(P_L)

Both U and S_next are linear in S, so all but S_next = S G + H is done for all chunks at once.
"""
import argparse
import contextlib
import json
import math
import os
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

HEAD_SIZE = 64


def loop_recurrence(r, log_decay, k, v, a, b, _):
    """All [batch, heads, time, channels]; y likewise."""
    decay = torch.exp(log_decay)
    state = r.new_zeros(*r.shape[:2], HEAD_SIZE, HEAD_SIZE)
    ys = []
    for t in range(r.shape[2]):
        removed = state @ a[:, :, t].unsqueeze(-1)
        state = (state * decay[:, :, t].unsqueeze(-2) + removed @ b[:, :, t].unsqueeze(-2)
                 + v[:, :, t].unsqueeze(-1) @ k[:, :, t].unsqueeze(-2))
        ys.append((state @ r[:, :, t].unsqueeze(-1)).squeeze(-1))
    return torch.stack(ys, dim=2)


def inverse_of_unit_lower(m):
    """(1 - m)^-1 of strictly lower m: the series ends, and is a product of a few factors."""
    size = m.shape[-1]
    identity = torch.eye(size, dtype=m.dtype)
    result, power = identity + m, m
    for _ in range(max(0, math.ceil(math.log2(size)) - 1)):
        power = power @ power
        result = result + result @ power
    return result


def chunked_recurrence(r, log_decay, k, v, a, b, length):
    batch, heads, steps, n = r.shape
    count = steps // length
    assert count * length == steps, "the context must be whole chunks"
    r, log_decay, k, v, a, b = (z.reshape(batch * heads * count, length, n) for z in (r, log_decay, k, v, a, b))
    logs = log_decay.cumsum(1)
    p, inverse = torch.exp(logs), torch.exp(-logs)
    a, r, b, k = a * torch.exp(logs - log_decay), r * p, b * inverse, k * inverse
    bt, kt = b.transpose(1, 2), k.transpose(1, 2)
    solve = inverse_of_unit_lower(torch.tril(torch.bmm(a, bt), -1))
    of_state = torch.bmm(solve, a)                                                  # U = of_state S' + of_values
    of_values = torch.bmm(solve, torch.bmm(torch.tril(torch.bmm(a, kt), -1), v))
    to_b, last = torch.tril(torch.bmm(r, bt)), p[:, -1:]
    y_of_state = r + torch.bmm(to_b, of_state)
    y = torch.bmm(to_b, of_values) + torch.bmm(torch.tril(torch.bmm(r, kt)), v)
    b, k = b * last, k * last
    grow = torch.diag_embed(last.squeeze(1)) + torch.bmm(of_state.transpose(1, 2), b)
    add = torch.bmm(of_values.transpose(1, 2), b) + torch.bmm(v.transpose(1, 2), k)
    grow, add = (z.view(batch * heads, count, n, n).unbind(1) for z in (grow, add))
    states = [torch.zeros_like(add[0])]
    for g, h in zip(grow[:-1], add[:-1]):
        states.append(torch.baddbmm(h, states[-1], g))
    state = torch.stack(states, 1).view(batch * heads * count, n, n)
    return torch.baddbmm(y, y_of_state, state.transpose(1, 2)).view(batch, heads, steps, n)


FORMS = {"loop": loop_recurrence, "chunked": chunked_recurrence}


def rank_of(width, factor):
    """The ranks of the reference's trainer."""
    return max(32, int(round(factor * width ** 0.5 / 32) * 32))


class TimeMix(nn.Module):
    def __init__(self, width, layer, form, chunk):
        super().__init__()
        self.form, self.chunk = form, chunk
        self.heads = width // HEAD_SIZE
        self.mix = nn.Parameter(torch.rand(6, width))
        ranks = {"w": rank_of(width, 2.5), "a": rank_of(width, 2.5), "g": rank_of(width, 5)}
        if layer:
            ranks["v"] = rank_of(width, 1.7)
        self.low = nn.ParameterDict()
        for name, rank in ranks.items():
            self.low[name + "0"] = nn.Parameter(torch.zeros(width))
            self.low[name + "1"] = nn.Parameter(torch.randn(width, rank) * 0.01)
            self.low[name + "2"] = nn.Parameter(torch.randn(rank, width) * 0.01)
        self.k_k, self.k_a = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.r_k = nn.Parameter(torch.zeros(self.heads, HEAD_SIZE))
        self.receptance, self.key, self.value, self.output = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.norm = nn.GroupNorm(self.heads, width, eps=64e-5)

    def low_rank(self, name, x, inner=lambda z: z, offset=True):
        y = inner(x @ self.low[name + "1"]) @ self.low[name + "2"]
        return y + self.low[name + "0"] if offset else y

    def forward(self, x, v_first):
        batch, time_steps, width = x.shape
        delta = F.pad(x, (0, 0, 1, -1)) - x
        xr, xw, xk, xv, xa, xg = (x + delta * m for m in self.mix)
        r, k, v = self.receptance(xr), self.key(xk), self.value(xv)
        log_decay = -math.exp(-0.5) * torch.sigmoid(self.low_rank("w", xw, torch.tanh).float())
        a = torch.sigmoid(self.low_rank("a", xa))
        g = self.low_rank("g", xg, torch.sigmoid, offset=False)
        if v_first is None:
            v_first = v
        else:
            v = v + (v_first - v) * torch.sigmoid(self.low_rank("v", xv))
        split = lambda z: z.float().view(batch, time_steps, self.heads, HEAD_SIZE)
        kk = F.normalize(split(k * self.k_k), dim=-1, p=2.0)
        k = k * (1 + (a - 1) * self.k_a)
        r, k, v, log_decay, a = map(split, (r, k, v, log_decay, a))
        inputs = (z.transpose(1, 2) for z in (r, log_decay, k, v, -kk, kk * a))
        with torch.autocast("cpu", enabled=False):
            y = FORMS[self.form](*inputs, self.chunk).transpose(1, 2)
        y = self.norm(y.reshape(batch * time_steps, width)).view(batch, time_steps, width)
        y = y + ((r * k * self.r_k).sum(-1, keepdim=True) * v).view(batch, time_steps, width)
        return self.output(y * g), v_first


class Block(nn.Module):
    def __init__(self, width, layer, form, chunk):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.att = TimeMix(width, layer, form, chunk)
        self.x_k = nn.Parameter(torch.rand(width))
        self.key, self.value = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x, v_first):
        mixed, v_first = self.att(self.ln1(x), v_first)
        x = x + mixed
        h = self.ln2(x)
        h = h + (F.pad(h, (0, 0, 1, -1)) - h) * self.x_k
        return x + self.value(torch.relu(self.key(h)) ** 2), v_first


class Rwkv7(nn.Module):
    def __init__(self, layers, width, vocab, form, chunk):
        super().__init__()
        self.emb, self.ln0 = nn.Embedding(vocab, width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, i, form, chunk) for i in range(layers))
        self.ln_out, self.head = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)

    def forward(self, tokens):
        x, v_first = self.ln0(self.emb(tokens)), None
        for block in self.blocks:
            x, v_first = block(x, v_first)
        return self.head(self.ln_out(x))


def check(chunk):
    """Values and gradients of the chunked form against the loop, in double precision."""
    torch.manual_seed(1)
    shape = (2, 3, 4 * chunk, HEAD_SIZE)
    draw = lambda: torch.randn(shape, dtype=torch.float64)
    kk = F.normalize(draw(), dim=-1)
    inputs = [draw(), -math.exp(-0.5) * torch.sigmoid(3 * draw()), draw(), draw(), -kk, kk * torch.sigmoid(draw())]
    seed, results = draw(), []
    for form in FORMS.values():
        leaves = [z.clone().requires_grad_() for z in inputs]
        y = form(*leaves, chunk)
        results.append([y.detach(), *torch.autograd.grad((y * seed).sum(), leaves)])
    worst = max(((p - q).norm() / p.norm()).item() for p, q in zip(*results))
    assert worst < 1e-9, worst
    return worst


def loaded_blas():
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split()[-1] for line in maps if "blas" in line}
    return sorted({os.path.basename(os.path.realpath(path)) for path in paths})


def measure(o, form, precision):
    torch.manual_seed(1)
    model = Rwkv7(o.layers, o.width, o.vocab, form, o.chunk)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.99), weight_decay=0.1)
    tokens = torch.randint(o.vocab, (o.batch, o.ctx + 1))
    speeds = []
    for round_number in range(o.rounds + 1):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        bf16 = torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
        with bf16:
            logits = model(tokens[:, :-1])
        F.cross_entropy(logits.reshape(-1, o.vocab).float(), tokens[:, 1:].reshape(-1)).backward()
        optimizer.step()
        if round_number:  # the first one warms up
            speeds.append(o.batch * o.ctx / (time.perf_counter() - start))
    return {"form": form, "precision": precision, "parameters": sum(p.numel() for p in model.parameters()),
            "tokens_per_s": statistics.median(speeds)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"layers": 4, "width": 256, "vocab": 256, "ctx": 512, "batch": 4, "rounds": 3,
                        "chunk": 16}.items():
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--form", choices=[*FORMS, "all"], default="all")
    parser.add_argument("--precision", choices=["fp32", "bf16", "all"], default="all")
    parser.add_argument("--check", action="store_true", help="only hold the chunked form against the loop")
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    worst = check(o.chunk)
    if o.check:
        print(f"the forms agree; worst relative difference {worst:.1e}")
        return
    runs = [measure(o, form, precision) for form in FORMS if o.form in (form, "all")
            for precision in ("fp32", "bf16") if o.precision in (precision, "all")]
    print(json.dumps({"torch": torch.__version__, "blas": loaded_blas(), "threads": torch.get_num_threads(), "layers": o.layers,
                      "width": o.width, "vocab": o.vocab, "ctx": o.ctx, "batch": o.batch, "chunk": o.chunk,
                      "runs": runs, "best_tokens_per_s": max(run["tokens_per_s"] for run in runs)}, indent=2))


if __name__ == "__main__":
    main()
