import pickle

import pytest

from eagleray.runtime.errors import DefinitionError
from eagleray.runtime.resources import Resources


def test_ray_options_name_only_what_is_asked():
    assert Resources().ray_options() == {"num_cpus": 1.0}
    asked = Resources(cpus=0.5, gpu=0.25, memory_bytes=1 << 30, custom={"fpga": 1})
    assert asked.ray_options() == {"num_cpus": 0.5, "num_gpus": 0.25, "memory": 1 << 30, "resources": {"fpga": 1}}


def test_it_is_a_value():
    asked = Resources(cpus=2, custom={"fpga": 1})
    assert pickle.loads(pickle.dumps(asked)) == asked
    assert hash(asked) == hash(Resources(cpus=2, custom={"fpga": 1}))
    with pytest.raises(TypeError):
        asked.custom["fpga"] = 2  # type: ignore[index]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cpus": -1}, "cpus=-1"),
        ({"gpu": 1.5}, "mixes whole GPUs and a share"),
        ({"memory_bytes": float("nan")}, "memory_bytes=nan"),
        ({"custom": {"GPU": 1}}, "use gpu="),
        ({"custom": {"fpga": -1}}, "'fpga'=-1"),
    ],
)
def test_what_no_machine_can_give_is_refused(wrong, said):
    with pytest.raises(DefinitionError, match=said):
        Resources(**wrong)
