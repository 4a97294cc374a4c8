"""The stored golden runs are what golden.py makes today: the numbers that the Swift tests trust."""
import json
from pathlib import Path

import numpy as np
import pytest
import golden
from safetensors.numpy import load_file

STORED = Path(__file__).parents[1] / "LoRAVKTests" / "Data" / "golden" / "tiny"


@pytest.mark.parametrize("name", golden.TINY)
def test_tiny_run_is_reproduced(name, tiny, tmp_path):
    golden.run(golden.arguments([str(tiny), str(tmp_path), *golden.TINY[name]]))
    stored, made = (json.loads((folder / "reference.json").read_text()) for folder in (STORED / name, tmp_path))
    np.testing.assert_array_equal(np.load(tmp_path / "tokens.npy"), np.load(STORED / name / "tokens.npy"))
    np.testing.assert_allclose(made["losses"], stored["losses"], rtol=1e-5)
    np.testing.assert_allclose(made["grad_norms"], stored["grad_norms"], rtol=1e-3)
    start, begun = (load_file(folder / "init" / "adapter_model.safetensors") for folder in (STORED / name, tmp_path))
    assert start.keys() == begun.keys()
    for key, value in start.items():
        np.testing.assert_array_equal(value, begun[key], err_msg=key)
