"""Files, held against kubectl and against themselves, in every style that people write."""
