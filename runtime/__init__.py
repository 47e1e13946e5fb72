"""The runtime script that the ConfigMap ``asya-runtime`` carries; :data:`SCRIPT` is its path."""

from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).with_name("asya_runtime.py")
