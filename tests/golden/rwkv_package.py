"""Logits of the `rwkv` package, for rwkv_package_test.cc: rwkv_package.py MODEL.pth 1,2,3 PACKAGE_FOLDER

Prints {"together": [[...]], "single": [[...]]}: a row a token, of the tokens as one sequence and one by one.
PACKAGE_FOLDER, if not empty, is where the folder rwkv/ lies. What version is to be run is the package's own
matter for RWKV-4 to 6; RWKV_V7_ON and RWKV_DE_VERSION, which it reads, tell it of RWKV-7 and 7a.
"""
import contextlib
import inspect
import json
import os
import sys

import torch

if "mmap" not in inspect.signature(torch.load).parameters:  # torch before 2.1
    load_all = torch.load
    torch.load = lambda *files, **flags: load_all(*files, **{k: v for k, v in flags.items() if k != "mmap"})

path, ids, folder = sys.argv[1], [int(i) for i in sys.argv[2].split(",")], sys.argv[3]
if folder:
    sys.path.insert(0, folder)
with contextlib.redirect_stdout(sys.stderr):
    from rwkv.model import RWKV

    # The package's class of RWKV-7 adds the ending itself.
    model = RWKV(model=path.removesuffix(".pth") if "RWKV_V7_ON" in os.environ else path, strategy="cpu fp32")
    together, _ = model.forward(list(ids), None, full_output=True)
    single, state = [], None
    for i in ids:
        row, state = model.forward([i], state)
        single.append(row.tolist())
json.dump({"together": together.tolist(), "single": single}, sys.stdout)
