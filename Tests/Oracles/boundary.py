"""Times training steps on one sequence of int32 ids in a file: seconds outside the call, inside by its result, and of processor
time. usage: boundary.py MODEL TOKENS STEPS"""
import sys
import time

import numpy as np

import loravk

model = loravk.Model.load(sys.argv[1])
trainer = loravk.Trainer(model, loravk.Adapter.create(model))
tokens = np.fromfile(sys.argv[2], np.int32)
for _ in range(int(sys.argv[3])):
    start, processor = time.perf_counter(), time.process_time()
    result = trainer.step(tokens)
    seconds = time.perf_counter() - start
    print(f"{seconds:.9f} {result.seconds:.9f} {time.process_time() - processor:.6f}")
