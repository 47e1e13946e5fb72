"""The rules of the controller: pure functions of plain values. Nothing here reads or writes anything."""
