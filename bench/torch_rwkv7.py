#!/usr/bin/python3
"""Training speed of RWKV-7 as a plain PyTorch CPU program, to compare train_bench with.

The recurrence is a loop over time on whole batches of heads, as one writes it without a kernel of one's own; autograd does
the rest. Same shape, same optimizer, same batch as train_bench; needs Debian's python3-torch.

    python3 bench/torch_rwkv7.py [--layers 4] [--width 256] [--ctx 512] [--batch 4] [--rounds 3]
"""
import argparse
import json
import math
import os
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

HEAD_SIZE = 64


class TimeMix(nn.Module):
    def __init__(self, width, layer):
        super().__init__()
        self.heads = width // HEAD_SIZE
        self.mix = nn.Parameter(torch.rand(6, width))
        ranks = {"w": 32, "a": 32, "g": 64} | ({"v": 32} if layer else {})
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
        decay = torch.exp(-math.exp(-0.5) * torch.sigmoid(self.low_rank("w", xw, torch.tanh)))
        a = torch.sigmoid(self.low_rank("a", xa))
        g = self.low_rank("g", xg, torch.sigmoid, offset=False)
        if v_first is None:
            v_first = v
        else:
            v = v + (v_first - v) * torch.sigmoid(self.low_rank("v", xv))
        split = lambda z: z.view(batch, time_steps, self.heads, HEAD_SIZE)
        kk = F.normalize(split(k * self.k_k), dim=-1, p=2.0)
        k = k * (1 + (a - 1) * self.k_a)
        r, k, v, decay, a = map(split, (r, k, v, decay, a))
        state = x.new_zeros(batch, self.heads, HEAD_SIZE, HEAD_SIZE)
        ys = []
        for t in range(time_steps):
            removed = state @ -kk[:, t].unsqueeze(-1)
            state = (state * decay[:, t].unsqueeze(-2) + removed @ (kk[:, t] * a[:, t]).unsqueeze(-2)
                     + v[:, t].unsqueeze(-1) @ k[:, t].unsqueeze(-2))
            ys.append((state @ r[:, t].unsqueeze(-1)).squeeze(-1))
        y = torch.stack(ys, dim=1)
        y = self.norm(y.reshape(batch * time_steps, width)).view(batch, time_steps, width)
        y = y + ((r * k * self.r_k).sum(-1, keepdim=True) * v).view(batch, time_steps, width)
        return self.output(y * g), v_first


class Block(nn.Module):
    def __init__(self, width, layer):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.att = TimeMix(width, layer)
        self.x_k = nn.Parameter(torch.rand(width))
        self.key, self.value = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x, v_first):
        mixed, v_first = self.att(self.ln1(x), v_first)
        x = x + mixed
        h = self.ln2(x)
        h = h + (F.pad(h, (0, 0, 1, -1)) - h) * self.x_k
        return x + self.value(torch.relu(self.key(h)) ** 2), v_first


class Rwkv7(nn.Module):
    def __init__(self, layers, width, vocab=256):
        super().__init__()
        self.emb, self.ln0 = nn.Embedding(vocab, width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, i) for i in range(layers))
        self.ln_out, self.head = nn.LayerNorm(width), nn.Linear(width, vocab, bias=False)

    def forward(self, tokens):
        x, v_first = self.ln0(self.emb(tokens)), None
        for block in self.blocks:
            x, v_first = block(x, v_first)
        return self.head(self.ln_out(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"layers": 4, "width": 256, "ctx": 512, "batch": 4, "rounds": 3}.items():
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    model = Rwkv7(o.layers, o.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.99), weight_decay=0.1)
    tokens = torch.randint(256, (o.batch, o.ctx + 1))
    speeds = []
    for round_number in range(o.rounds + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        logits = model(tokens[:, :-1])
        F.cross_entropy(logits.reshape(-1, 256), tokens[:, 1:].reshape(-1)).backward()
        optimizer.step()
        if round_number:  # the first one warms up
            speeds.append(o.batch * o.ctx / (time.perf_counter() - start))
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(),
                      "parameters": sum(p.numel() for p in model.parameters()),
                      "layers": o.layers, "width": o.width, "ctx": o.ctx, "batch": o.batch, "precision": "fp32",
                      "tokens_per_s": statistics.median(speeds)}, indent=2))


if __name__ == "__main__":
    main()
