"""``make golden``: writes every result again."""

from tests.golden import CASES, outcome

for case in CASES:
    for path in (case.injected, case.message):
        path.unlink(missing_ok=True)
    path, text = outcome(case)
    path.write_text(text)
print(f"wrote the outcomes of {len(CASES)} files")
