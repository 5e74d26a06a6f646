"""Write the default `students` table as CSV for students.R: python make_students.py OUT.csv"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from jaxlmm.datasets import load_dataset

if __name__ == "__main__":
    load_dataset("students").to_csv(sys.argv[1], index=False)
