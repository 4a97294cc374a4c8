"""Times training steps through Python from outside and, by their result, from inside. usage: boundary.py MODEL LENGTH STEPS"""
import sys
import time

import numpy as np

import loravk

model = loravk.Model.load(sys.argv[1])
trainer = loravk.Trainer(model, loravk.Adapter.create(model))
tokens = np.arange(int(sys.argv[2])) * 7919 % 1000
for _ in range(int(sys.argv[3])):
    start = time.perf_counter()
    result = trainer.step(tokens)
    print(f"{time.perf_counter() - start:.9f} {result.seconds:.9f}")
