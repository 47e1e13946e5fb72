"""Files in every style that people write, compared with kubectl's reading and with themselves."""
