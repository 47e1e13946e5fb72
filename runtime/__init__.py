"""The runtime script, which the ConfigMap ``asya-runtime`` contains. :data:`SCRIPT` is its path."""

from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).with_name("asya_runtime.py")
