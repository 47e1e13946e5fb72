"""The rules of the controller: pure functions of plain values. No module here does I/O."""
