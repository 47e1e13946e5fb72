"""The results of each released form of injection: templates before and after, by version of the record."""
