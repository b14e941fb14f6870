import subprocess
import sys


def test_the_api_needs_neither_ray_nor_torch():
    code = "import sys; import service.api.app;print(sorted({'ray', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
